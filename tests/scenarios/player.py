"""Plays a scenario: prose, commands (indented by four), and what they bring about (by six).

    start a b c [restore=nothing|store|reboot] [seeds=a] [clock_back=5] [back_within=2]
    timing restart_grace=7                                              before the first start
    run 4 | settle
    register c web/1 [x3] | update c web/1 [x3] | withdraw c web/1 [exit]
    crash c | stop c | leave c | power-off c | pause c 10 | forget a c
    split ab c | cut a b | clog a b | unclog a b | heal
    lose a b DeltaMessage [2] | delay a b SyncChunk 1.5 [2]
    show a | states a | holds b a | sent SyncRequest

After each command, what watchers were told: `a b: + web/1@c registered`, where + is added, ~ is
updated and - removed. Agents that were told the same stand together.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from discoagent.core import messages
from discoagent.core.messages import Message
from discoagent.core.timing import Timing
from discoagent.sim import Profile, Restore, World
from discoagent.sim.words import event_in_words
from tests.sim.worlds import Interference

COMMAND, OUTPUT = " " * 4, " " * 6
RESTORES = {"store": Restore.STORE, "nothing": Restore.NOTHING, "reboot": Restore.REBOOT}


class Player:
    """One world, and what of it was told already."""

    def __init__(self) -> None:
        self._profile = Profile()
        self._world: World | None = None
        self._net: Interference | None = None
        self._told: dict[str, tuple[object, int]] = {}
        self._sent: dict[str, int] = {}

    @property
    def world(self) -> World:
        """The world; it is made when it is first of use."""
        if self._world is None:
            self._world = World(1, self._profile)
        return self._world

    @property
    def net(self) -> Interference:
        """What loses and delays messages."""
        if self._net is None:
            self._net = Interference(self.world)
        return self._net

    def play(self, line: str) -> list[str]:
        """Carry out a command and return what came of it."""
        word, *arguments = line.split()
        do: Callable[..., list[str] | None] = getattr(self, "do_" + word.replace("-", "_"))
        return [*(do(*arguments) or []), *self._news()]

    def _news(self) -> Iterator[str]:
        """Yield what agents were told since the last command, those with the same news together."""
        if self._world is None:
            return
        news: dict[tuple[str, ...], list[str]] = {}
        for name, host in sorted(self._world.hosts.items()):
            life, known = self._told.get(name, (None, 0))
            events = host.observer.events
            fresh = events if life is not host.observer else events[known:]
            self._told[name] = host.observer, len(events)
            if fresh and host.running:
                news.setdefault(tuple(_counted(map(event_in_words, fresh))), []).append(name)
        for told, names in news.items():
            for each in told:
                yield f"{' '.join(names)}: {each}"

    # ---- before it begins

    def do_timing(self, *pairs: str) -> None:
        """Change the protocol's durations."""
        given = {key: float(value) for key, value in (pair.split("=") for pair in pairs)}
        self._profile = replace(self._profile, timing=Timing(**given))

    # ---- time

    def do_run(self, seconds: str) -> None:
        """Let time pass."""
        self.world.run(float(seconds))

    def do_settle(self) -> list[str]:
        """Demand agreement, then silence."""
        self.world.settle()
        return ["all agree"]

    # ---- agents

    def do_start(self, *words: str) -> None:
        """Start agents."""
        options = dict(word.split("=") for word in words if "=" in word)
        seeds = options.get("seeds")
        for name in (word for word in words if "=" not in word):
            self.world.start(
                name,
                restore=RESTORES[options.get("restore", "store")],
                seeds=None if seeds is None else tuple(seeds.split(",")),
                clock_back=float(options.get("clock_back", 0)),
                back_within=float(options.get("back_within", 2)),
            )

    def do_crash(self, name: str) -> None:
        """Kill an agent."""
        self.world.crash(name)

    def do_stop(self, name: str) -> None:
        """Stop an agent for a while."""
        self.world.stop(name)

    def do_leave(self, name: str) -> None:
        """Let a node leave."""
        self.world.leave(name)

    def do_power_off(self, name: str) -> None:
        """End a host."""
        self.world.power_off(name)

    def do_pause(self, name: str, seconds: str) -> None:
        """Stop a process where it is."""
        self.world.pause(name, float(seconds))

    def do_forget(self, by: str, name: str) -> None:
        """Let an operator forget a node."""
        self.world.forget(by, name)

    # ---- registrations

    def do_register(self, node: str, what: str, times: str = "x1") -> None:
        """Register an instance, or take over its key."""
        for _ in range(int(times[1:])):
            self.world.register(node, *what.split("/"))

    def do_update(self, node: str, what: str, times: str = "x1") -> None:
        """Update an instance."""
        for _ in range(int(times[1:])):
            self.world.update(node, *what.split("/"))

    def do_withdraw(self, node: str, what: str, cause: str = "deregistered") -> None:
        """End an instance."""
        service, instance = what.split("/")
        self.world.withdraw(node, service, instance, cause=cause)

    # ---- the network

    def do_split(self, *sides: str) -> None:
        """Let only hosts of one side reach each other."""
        self.world.partition(*map(set, sides))

    def do_cut(self, source: str, target: str) -> None:
        """Let nothing through one way."""
        self.world.cut(source, target)

    def do_clog(self, source: str, target: str) -> None:
        """Let what is sent one way wait."""
        self.world.clog(source, target)

    def do_unclog(self, source: str, target: str) -> None:
        """Let it arrive."""
        self.world.unclog(source, target)

    def do_heal(self) -> None:
        """Let everything through."""
        self.world.heal()

    def do_lose(self, source: str, target: str, kind: str, times: str = "1") -> None:
        """Lose the next messages of a kind."""
        self.net.keep(source, target, _of(kind), int(times))

    def do_delay(self, source: str, target: str, kind: str, by: str, times: str = "1") -> None:
        """Let the next messages of a kind arrive late."""
        self.net.delay(source, target, _of(kind), float(by), int(times))

    # ---- looking

    def do_show(self, name: str) -> list[str]:
        """Say what an agent lists."""
        return [f"{name} shows {' '.join(self.world.shown(name)) or 'nothing'}"]

    def do_states(self, name: str) -> list[str]:
        """Say how an agent sees the others."""
        now = self.world.hosts[name].clock()
        views = [view for view in self.world.replica(name).members(now) if view.endpoint]
        seen = [f"{it.replica.node} {it.state}" for it in views if it.replica.node != name]
        return [f"{name} sees {', '.join(seen) or 'nobody'}"]

    def do_holds(self, observer: str, node: str) -> list[str]:
        """Say how large what an agent holds of another is, its record included."""
        held = self.world.replica(observer)._members.presence.nodes[node].chain
        return [f"{observer} holds {len(held)} entries of {node} at clock {held.clock}"]

    def do_sent(self, *kinds: str) -> list[str]:
        """Say how many messages of these kinds were sent since this was last asked."""
        lines = []
        for kind in kinds:
            count = self.world.sent.get(kind, 0)
            lines.append(f"sent {count - self._sent.get(kind, 0)} {kind}")
            self._sent[kind] = count
        return lines


def _of(kind: str) -> Callable[[Message], bool]:
    wanted: type = getattr(messages, kind)
    return lambda message: isinstance(message, wanted)


def _counted(words: Iterable[str]) -> Iterator[str]:
    """Yield each line once where it comes many times in a row."""
    for line, group in itertools.groupby(words):
        count = len(list(group))
        yield line if count == 1 else f"{line}, {count} times"


def played(text: str) -> str:
    """Return a scenario as it reads when it is played now."""
    player = Player()
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(OUTPUT):
            continue
        lines.append(line)
        if line.startswith(COMMAND):
            lines += [OUTPUT + each for each in player.play(line)]
    return "\n".join(lines) + "\n"


SCENARIOS = sorted(Path(__file__).parent.glob("*.txt"))
