"""Who asks and who owns, as the kernel tells: uid, pid, start time, executable and systemd unit.

A process is named by its pid and the time it started, for pids are used again. Everything is read
out of /proc; what this agent may not read of another user's process is None.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import msgpack

from discoagent.core.entry import Entry
from discoagent.core.limits import OWNER_IDENTITY_BYTES
from discoagent.errors import Refused
from discoagent.instance import Owner, pack_actor, pack_owner, unpack_owner

_is_unit = re.compile(r"_?[^/]+\.(?:service|scope|socket|mount|swap)").fullmatch


class Asker(NamedTuple):
    """Who sent a request, as its connection's credentials say. pid 0: in a foreign namespace."""

    uid: int
    gid: int
    pid: int

    @classmethod
    def from_peer_address(cls, text: str) -> "Asker":
        """Read libzmq's `HOST:UID:GID:PID`."""
        uid, gid, pid = text.rsplit(":", 3)[1:]
        return cls(int(uid), int(gid), int(pid))


class ProcessFacts(NamedTuple):
    """A living process. `start` is in clock ticks since the boot."""

    pid: int
    start: int
    uid: int
    exe: str | None
    unit: str | None

    @property
    def owner(self) -> Owner:
        """Return what users see of it."""
        return Owner(self.uid, self.pid, self.exe, self.unit)


def boot_id() -> str:
    """Return the id of this boot of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> int | None:
    """Return when the process started; None if it does not live (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name, in parentheses, may hold anything: only what follows the last one is split.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in b"ZX" else int(fields[19])


def facts(pid: int) -> ProcessFacts | None:
    """Look a process up; None if it does not live."""
    start = start_time(pid)
    if start is None:
        return None
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return None
    real_uid = int(status[status.index(b"\nUid:") + 5 :].split(None, 1)[0])
    return ProcessFacts(pid, start, real_uid, executable(pid), unit(pid))


def executable(pid: int) -> str | None:
    """Return the path of the process's executable, also when the file was replaced meanwhile."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None
    # An upgrade of the program must not make another owner of it.
    return path.removesuffix(" (deleted)").encode(errors="replace").decode()


def unit(pid: int) -> str | None:
    """Return the systemd unit whose control group holds the process: the innermost one."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return unit_of(text)


def unit_of(cgroup: str) -> str | None:
    """Return the unit out of the text of /proc/PID/cgroup, cgroup version 2 or 1."""
    for line in cgroup.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" or controllers == "name=systemd":
            for part in reversed(path.split("/")):
                if _is_unit(part):
                    return part.removeprefix("_")
    return None


def in_our_pid_namespace(pid: int) -> bool:
    """Does the process count pids as we do?

    Its namespace itself may be read by few; how many namespaces count it is for all (NSpid in
    proc_pid_status(5)): ours alone, or those within it, too.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return pid != 0
    counted = next((it for it in status.splitlines() if it.startswith(b"NSpid:")), b"NSpid: 0")
    return len(counted.split()) == 2


def process_owner(process: ProcessFacts, boot: str) -> bytes:
    """Pack the owner of an entry that lives as long as this process."""
    return pack_owner(process.owner, process.start, ("process", process.pid, process.start, boot))


def user_owner(kind: str, owner: Owner) -> bytes:
    """Pack the owner of a lease or a static entry: whoever has the same uid is the same owner."""
    return pack_owner(owner, None, (kind, owner.uid))


def process_of(owner: bytes) -> tuple[int, int] | None:
    """Return pid and start time of the process that a packed owner names; None: it is a user."""
    _, pid, start = msgpack.unpackb(owner[OWNER_IDENTITY_BYTES:])[:3]
    return None if pid is None or start is None else (pid, start)


def same_identity(one: bytes, other: bytes) -> bool:
    """Are these packed owners the same process (or, without one, the same user)?"""
    return one[:OWNER_IDENTITY_BYTES] == other[:OWNER_IDENTITY_BYTES]


def actor_of(asker: Asker, process: ProcessFacts | None) -> bytes:
    """Pack who makes a change; `process` is the asker's, None if it has ended meanwhile."""
    exe, of_unit = (process.exe, process.unit) if process else (None, None)
    return pack_actor(Owner(asker.uid, asker.pid or None, exe, of_unit))


def may_change(asker: Asker, owner_uid: int, agent_uid: int) -> bool:
    """May the asker change or remove what this uid owns?"""
    return asker.uid in (owner_uid, agent_uid, 0)


def check_may_change(asker: Asker, entry: Entry, agent_uid: int, what: str) -> None:
    """Raise Refused unless the asker may change or remove this entry; `what` names it."""
    uid = unpack_owner(entry.owner).uid
    if not may_change(asker, uid, agent_uid):
        raise Refused(
            f"{what} belongs to uid {uid}: only that user, root or the agent's own "
            f"(uid {agent_uid}) may change it, not uid {asker.uid}",
            kind="permission",
        )


def describe(owner: Owner) -> str:
    """Name an owner in a sentence: uid, pid and executable."""
    pid = f"pid {owner.pid}, " if owner.pid else ""
    return f"uid {owner.uid} ({pid}{owner.exe or 'executable unknown'})"
