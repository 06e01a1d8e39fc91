"""Hosts on one machine, on one switch, with the faults of real networks.

A host is an anonymous network, host-name and mount namespace, held open by a `cat` that waits on a
pipe of ours. The switch is a bridge in one more such namespace, so the machine itself gets no link,
address, route or rule; nothing can leave it, labs that run side by side cannot meet, and a killed
test leaves nothing: the pipe closes, `cat` ends, the kernel frees the namespaces and what is in
them.

    with NetLab(3) as lab:                 # hosts 1 to 3, named h1 to h3
        process = lab.popen(1, ["python3", "app.py"])
        lab.cut(1, 2); lab.cut(1, 3, one_way=True)     # now 1 cannot send to 3, but hear it
        lab.split({1}, {2, 3}); lab.loss(20); lab.delay(2, 50); lab.link(2, up=False); lab.heal()

Faults drop frames in the switch: no RST, no FIN, no ICMP, no change of carrier.
"""

import functools
import itertools
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
RELAY = Path(__file__).with_name("relay.py")
SWITCH = 0  # the number of the namespace that the switch is in
PACKAGE_OF = {
    "ip": "iproute2",
    "nft": "nftables",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "hostname": "hostname",
}
HOLD = """
hostname "$0" && ip link set lo up || exit 1
for directory; do mount -t tmpfs -o mode=755 tmpfs "$directory" || exit 1; done
echo up; exec cat"""


@functools.cache
def namespaces_work() -> bool:
    """May this process make the namespaces that a lab is made of?"""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "--net", "--uts", "--mount", "true"], capture_output=True, check=False
    )
    return tried.returncode == 0


def missing() -> list[str]:
    """Name everything that a lab needs and that is not here."""
    tools = [
        f"{tool} (package {package})"
        for tool, package in PACKAGE_OF.items()
        if shutil.which(tool) is None
    ]
    return tools if namespaces_work() else ["the right to make namespaces (root)", *tools]


class NetLab:
    """`size` hosts on one switch, numbered from 1; leaving the block ends everything in them.

    `private`: directories in whose place each host sees an empty one of its own. `arp_passes`:
    faults spare ARP, as beyond a router, so that a connect hangs; else it fails after 3 s.

    Everything is started with a signal that ends it with the *thread* that made it: use one
    thread, which outlives the lab.
    """

    def __init__(
        self, size: int, *, private: Sequence[str] = ("/run",), arp_passes: bool = False
    ) -> None:
        self.hosts = range(1, size + 1)
        self._private = tuple(private)
        self._arp_passes = arp_passes
        self._holders: dict[int, subprocess.Popen[str]] = {}
        self._processes: list[subprocess.Popen[Any]] = []
        self._relays: dict[int, subprocess.Popen[str]] = {}
        self._cuts: set[tuple[int, int]] = set()
        self._losses: dict[tuple[int | None, int | None], float] = {}

    def __enter__(self) -> Self:
        try:
            for host in (SWITCH, *self.hosts):
                self._holders[host] = self._hold(host)
            self._await_holders()
            self._plug_in()
            self._apply()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes started by `popen`, then the hosts."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        for holder in self._holders.values():
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdin.close()
            holder.stdout.close()
            holder.wait()
        self._processes, self._holders, self._relays = [], {}, {}

    def _hold(self, host: int) -> subprocess.Popen[str]:
        name, private = (f"h{host}", self._private) if host else ("switch", ())
        return subprocess.Popen(
            ["unshare", "--net", "--uts", "--mount", "sh", "-c", HOLD, name, *private],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _await_holders(self) -> None:
        for holder in self._holders.values():
            assert holder.stdout is not None
            if holder.stdout.readline() != "up\n":
                raise RuntimeError(f"no namespace: {missing() or f'exit {holder.wait()}'}")

    def _plug_in(self) -> None:
        self._ip(
            SWITCH,
            "link add br0 type bridge mcast_snooping 0 forward_delay 0",
            "link set br0 up",
            *(
                f"link add p{host} type veth peer name eth0 netns {self._holders[host].pid}"
                for host in self.hosts
            ),
            *(f"link set p{host} master br0 up" for host in self.hosts),
        )
        for host in self.hosts:
            mac = f"02:00:00:00:{host >> 8:02x}:{host & 255:02x}"
            self._ip(
                host,
                # One segment a frame: no packets of 64 KB, so that 20 % loss is that of real ones.
                f"link set eth0 address {mac} gso_max_segs 1",
                f"addr add {self.ipv4(host)}/24 brd + dev eth0",
                f"addr add {self.ipv6(host)}/64 dev eth0 nodad",
                "link set eth0 up",
            )

    # -- inside a host -----------------------------------------------------------------------------

    @staticmethod
    def ipv4(host: int) -> str:
        """Return the host's IPv4 address."""
        return f"10.77.0.{host}"

    @staticmethod
    def ipv6(host: int) -> str:
        """Return the host's IPv6 address."""
        return f"fd77::{host:x}"

    def command(self, host: int, argv: Sequence[str]) -> list[str]:
        """Return what runs `argv` in the host: it becomes `argv`, pid and all, and dies with us."""
        holder = str(self._holders[host].pid)
        enter = ["nsenter", "-t", holder, "-n", "-u", "-m", f"-w{ROOT}", "--"]
        return ["setpriv", "--pdeathsig", "KILL", *enter, *argv]

    def popen(self, host: int, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process in the host; the lab ends it."""
        process = subprocess.Popen(self.command(host, argv), **options)
        self._processes.append(process)
        return process

    def run(self, host: int, argv: Sequence[str], text: str = "") -> str:
        """Run a command in the host to its end; `text` is its stdin. Return what it printed."""
        done = subprocess.run(
            self.command(host, argv),
            input=text,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout

    def path(self, host: int, path: str) -> str:
        """Return where the machine sees a path of the host's private directories."""
        return f"/proc/{self._holders[host].pid}/root{path}"

    def name_addresses(self, host: int, names: Collection[tuple[str, str]]) -> None:
        """Let the host resolve names: pairs of an address and a name; one name may have many.

        Said again, it replaces what was said before. Needs a private /run.
        """
        file = "/run/hosts"
        lines = "".join(f"{address} {name}\n" for address, name in names)
        first = not Path(self.path(host, file)).exists()
        Path(self.path(host, file)).write_text(f"127.0.0.1 localhost\n{lines}", encoding="utf-8")
        if first:
            self.run(host, ["mount", "--bind", file, "/etc/hosts"])

    def _ip(self, host: int, *lines: str) -> None:
        self.run(host, ["ip", "-batch", "-"], "\n".join(lines))

    # -- faults ------------------------------------------------------------------------------------

    def cut(self, a: int, b: int, *, one_way: bool = False) -> None:
        """Drop what a sends to b and, unless `one_way`, what b sends to a."""
        self._cuts |= {(a, b)} if one_way else {(a, b), (b, a)}
        self._apply()

    def isolate(self, *hosts: int) -> None:
        """Drop all that these hosts send and are sent; their own links stay up.

        With their processes killed, it is a loss of power.
        """
        self._cuts |= {
            pair
            for pair in itertools.permutations(self.hosts, 2)
            if not set(hosts).isdisjoint(pair)
        }
        self._apply()

    def split(self, *groups: Collection[int]) -> None:
        """Let only hosts of one group reach each other; a host in no group is alone."""
        whole = {pair for group in groups for pair in itertools.permutations(group, 2)}
        self._cuts = set(itertools.permutations(self.hosts, 2)) - whole
        self._apply()

    def loss(self, percent: float, a: int | None = None, b: int | None = None) -> None:
        """Drop frames at random on the way from a to b; None: any host. 0 takes it away."""
        self._losses[a, b] = percent
        self._apply()

    def link(self, host: int, *, up: bool) -> None:
        """Plug the host's cable into the switch or pull it: the host sees it, its peers do not."""
        self._ip(SWITCH, f"link set p{host} {'up' if up else 'down'}")

    def delay(self, host: int, milliseconds: float) -> None:
        """Make every frame to and from the host so much later: a relay in its cable.

        The cable blinks for some milliseconds when the relay goes in; 0 leaves it there.
        """
        if host in self._relays:
            self._relays[host].kill()
            self._relays[host].wait()
        else:
            self._ip(
                SWITCH,
                f"link set p{host} down",
                f"link set p{host} nomaster name w{host}",
                f"link add p{host} type veth peer name x{host}",
                f"link set p{host} master br0 up",
                *(f"link set {end}{host} promisc on up" for end in "wx"),
            )
        ends = [f"w{host}", f"x{host}"]
        relay = self.popen(
            SWITCH,
            [sys.executable, str(RELAY), *ends, str(milliseconds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert relay.stdout is not None
        relay.stdout.readline()
        self._relays[host] = relay

    def heal(self) -> None:
        """End every cut and loss and plug in every cable; delays stay."""
        self._cuts, self._losses = set(), {}
        self._apply()
        self._ip(SWITCH, *(f"link set p{host} up" for host in self.hosts))

    def _apply(self) -> None:
        """Put all rules in force at once."""
        rules = ["ether type arp accept"] if self._arp_passes else []
        if self._cuts:
            pairs = ", ".join(f'"p{a}" . "p{b}"' for a, b in sorted(self._cuts))
            rules.append(f"iifname . oifname {{ {pairs} }} drop")
        for (a, b), percent in self._losses.items():
            where = [f'iifname "p{a}"'] if a else []
            where += [f'oifname "p{b}"'] if b else []
            luck = f"numgen random mod 1000 < {round(percent * 10)}" if percent < 100 else ""
            rules.append(" ".join([*where, luck, "drop"]))
        hook = "type filter hook forward priority 0;"
        chain = "\n".join([hook, *rules])
        self.run(
            SWITCH,
            ["nft", "-f", "-"],
            "table bridge lab\ndelete table bridge lab\n"
            f"table bridge lab {{\nchain faults {{\n{chain}\n}}\n}}\n",
        )
