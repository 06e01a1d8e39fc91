"""A real systemd as PID 1 of namespaces of its own, to run the project's units under.

    with Booted(tree) as host:
        host.check("systemctl", "start", "discoagent")

The root is an overlay: the machine's / below, a tmpfs above, so that all is readable and nothing
written lasts. /etc/systemd/system holds the given tree's units alone: no service of the machine
starts in there. /proc/sys and /sys are read-only, and the clock and modules are out of reach.
Outside, only a directory among the control groups is made, and removed. Whoever dies with the
thread that made it takes it along.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.waiting import DEADLINE, until

INIT = "/lib/systemd/systemd"
CONTROL_GROUP = "discoagent-lab"
TARGET = "[Unit]\nRequires=basic.target dbus.service\nAfter=basic.target dbus.service\n"
# $1 an empty directory, $2 a tree to lay over the root, the others SOURCE:TARGET to bind.
SET_UP = rf"""
set -e
mount --make-rprivate /; mount -t tmpfs -o mode=755 tmpfs "$1"; cd "$1"; mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root; cd root
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys
if [ -e proc/sysrq-trigger ]; then mount --bind -o ro /dev/null proc/sysrq-trigger; fi
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid,strictatime tmpfs dev; mkdir dev/pts dev/shm
for it in null zero full random urandom tty; do touch dev/$it; mount --bind /dev/$it dev/$it; done
mount -t devpts -o newinstance,mode=620,ptmxmode=666,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
for it in dev/shm tmp; do mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs $it; done
for it in etc/systemd/system var/log/journal; do
  mkdir -p $it; mount -t tmpfs -o mode=755 tmpfs $it
done
systemd-id128 new > etc/machine-id; hostname > etc/hostname; : > etc/fstab
cp -r "$2"/. .
shift 2
for it; do mkdir -p ".${{it#*:}}"; mount --rbind "${{it%%:*}}" ".${{it#*:}}"; done
pivot_root . mnt; umount -l /mnt; mount --make-rshared /; exec < /dev/null > /dev/null 2>&1
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lab \
    setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-audit_control,-audit_read \
    {INIT} --system --unit=lab.target --show-status=no"""

_count = itertools.count()


class Booted:
    """A host that runs systemd. `within` enters a host of a lab; else it has a loopback alone."""

    def __init__(
        self,
        tree: Mapping[str, str],
        *,
        binds: Sequence[str] = (),
        within: Sequence[str] = (),
    ) -> None:
        """`tree`: the text of each file to lay over the root, by its path.

        `binds`: SOURCE:TARGET, shown there and writable; the overlay has the root's file system
        alone, and /tmp is empty.
        """
        self._tree = {"/etc/systemd/system/lab.target": TARGET, **tree}
        self._binds = list(binds)
        self._enter = [*within, "unshare", *(() if within else ("--net",))]
        self._undo = contextlib.ExitStack()
        self.pid = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            scratch = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="discoagent-")))
            group = _control_groups() / f"{CONTROL_GROUP}-{os.getpid()}-{next(_count)}"
            group.mkdir()
            undo.callback(_remove, group)
            root, tree = scratch / "root", scratch / "tree"
            root.mkdir()
            for name, text in self._tree.items():
                file = tree / name.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
                file.chmod(0o755 if text.startswith("#!") else 0o644)
            self._outer = self._boot(group, root, tree)
            undo.callback(self._shut_down)
            until(self._is_up, "systemd to come up")
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self._outer.poll() is None:
            print(self.run("journalctl", "--no-pager", "-n", "80").stdout)
        self._undo.close()

    def _boot(self, group: Path, root: Path, tree: Path) -> "subprocess.Popen[bytes]":
        join = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        spaces = ["--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup"]
        inside = ["sh", "-c", SET_UP, "sh", str(root), str(tree), *self._binds]
        tied = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", join, str(group)]
        return subprocess.Popen([*tied, *self._enter, *spaces, *inside])

    def _is_up(self) -> bool:
        assert self._outer.poll() is None, "systemd did not come up"
        if not self.pid:  # the only child of unshare: is it systemd by now?
            outer = self._outer.pid
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
            if not children or not os.readlink(f"/proc/{children[0]}/exe").endswith("/systemd"):
                return False
            self.pid = int(children[0])
        return self.run("systemctl", "is-active", "-q", "lab.target").returncode == 0

    def _shut_down(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.pid and self._outer.poll() is None:
                self.halt()
        self._outer.kill()
        self._outer.wait()

    def halt(self) -> None:
        """Shut the host down in order, and wait until it is off."""
        os.kill(self.pid, signal.SIGRTMIN + 3)  # as `systemctl halt`: see systemd(1), SIGNALS
        self._outer.wait(DEADLINE)

    def command(self, *argv: str) -> list[str]:
        """Return what runs `argv` in there."""
        spaces = ["-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w"]
        return ["nsenter", "-t", str(self.pid), *spaces, "--", *argv]

    def run(self, *argv: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command in there to its end; its output and errors are kept."""
        defaults: dict[str, Any] = {"capture_output": True, "text": True, "timeout": DEADLINE}
        return subprocess.run(self.command(*argv), check=False, **{**defaults, **options})

    def check(self, *argv: str) -> str:
        """Run a command that has to succeed, and return what it printed."""
        done = self.run(*argv)
        assert done.returncode == 0, f"{argv}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout

    def path(self, path: str) -> Path:
        """Return where the machine sees a path of the host."""
        return Path(f"/proc/{self.pid}/root{path}")


def missing() -> list[str]:
    """Name what a boot needs and is not here."""
    needed = {INIT: "systemd", "/usr/bin/dbus-daemon": "dbus"}
    return [f"{path} (package {it})" for path, it in needed.items() if not os.path.exists(path)]


def _control_groups() -> Path:
    """Return where the control groups of version 2 are mounted."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return Path(next(mount[1] for mount in mounts if mount[2] == "cgroup2"))


def _remove(group: Path) -> None:
    """Remove a control group and those in it."""
    for path, _, _ in os.walk(group, topdown=False):
        os.rmdir(path)
