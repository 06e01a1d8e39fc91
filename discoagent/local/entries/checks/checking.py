"""Runs the checks of this node's entries on the agent's loop, a bounded number at once."""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from discoagent.checks.bounds import split_host_port
from discoagent.checks.spec import CRITICAL, PASSING, PORT, Check, Json, held, of
from discoagent.core.entry import Key
from discoagent.instance import Body
from discoagent.local.entries.checks import web
from discoagent.local.entries.checks.commands import Running
from discoagent.local.entries.checks.guard import Guard
from discoagent.local.entries.checks.health import Health, Outcome
from discoagent.local.entries.checks.listening import Listening
from discoagent.local.entries.checks.schedule import Hurry, Schedule, Slot
from discoagent.local.entries.checks.tcp import Connecting
from discoagent.local.entries.checks.workers import Workers
from discoagent.local.entries.lifetimes import Leases

LANES = {"network": 64, "exec": 8}  # how many at once
STARTED_PER_TURN = 32


class One:
    """One check of one entry. `cancel`: ends the asking that is under way."""

    __slots__ = ("cancel", "entry", "health", "running", "slot")

    def __init__(self, entry: "Checked", health: Health) -> None:
        self.entry = entry
        self.health = health
        self.slot: Slot[One] | None = None
        self.cancel: Callable[[], object] | None = None
        self.running: Running | None = None

    @property
    def asked(self) -> bool:
        """Has anything come of it yet?"""
        return self.health.at is not None


class Checked:
    """An entry that has checks: what they need to know of it.

    `looked`: who is told, once, when each check that is asked was asked.
    """

    __slots__ = ("address", "checks", "key", "looked", "pid", "port", "uid")

    def __init__(self, key: Key, uid: int, body: Body) -> None:
        self.key = key
        self.uid = uid
        self.pid = body.lifetime.pid
        self.address = body.address
        self.port = body.port
        self.checks: list[One] = []
        self.looked: Callable[[], object] | None = None

    def same_place(self, other: "Checked | None") -> bool:
        """Do both speak of the same owner, address and port?"""
        return other is not None and (self.uid, self.address, self.port) == (
            other.uid,
            other.address,
            other.port,
        )


class Checking:
    """All checks that this agent makes. `changed` is told of each entry whose checks' states
    have changed; `states` says what they are then."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[Key], object],
        *,
        uid: int,
        environment: Mapping[str, str],
        luck: Callable[[], float] = random.random,
    ) -> None:
        """`uid` is the agent's user; `environment` is added to that of commands."""
        self._loop = loop
        self._changed = changed
        self._uid = uid
        self._environment = environment
        self._workers = Workers(loop)
        self._guard = Guard()
        self._commands: list[Running] = []
        self._schedule: Schedule[One] = Schedule(LANES, luck)
        self._words = Leases(loop, self._unsaid)
        self._entries: dict[Key, Checked] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ready: list[Slot[One]] = []
        self._pumping = False
        self._web = web.Web(loop, self._workers)

    # -- which entries have checks

    def bind(self, key: Key, uid: int, body: Body, hurry: Hurry = Hurry.SOON) -> None:
        """Make the checks that an entry has now; those that it had before go on.

        `hurry`: when those that are new are asked for the first time.
        """
        before = self._entries.get(key)
        if not body.checks:
            self.release(key)
            return
        entry = Checked(key, uid, body)
        kept = {it.health.check: it for it in before.checks} if before is not None else {}
        if not entry.same_place(before):
            kept = {}
        for each in body.checks:
            check = of(each)
            one = kept.pop(check, None) or self._new(entry, check, each, hurry)
            one.entry = entry
            entry.checks.append(one)
        self._entries[key] = entry
        if before is not None:
            self._drop(it for it in before.checks if it not in entry.checks)
        self._arm()

    def look(self, key: Key, uid: int, body: Body, looked: Callable[[], object]) -> bool:
        """Make the checks of an entry that is not there yet; False if none of them is asked.

        `looked` is called once each was asked; then it is made, or released.
        """
        self.bind(key, uid, body, Hurry.NOW)
        entry = self._entries.get(key)
        if entry is None or all(it.slot is None for it in entry.checks):
            self.release(key)
            return False
        entry.looked = looked
        return True

    def found(self, key: Key, uid: int, body: Body) -> tuple[Json, ...]:
        """Return the checks that are made of an entry, in the states in which they are; none if
        they are made elsewhere than this body says, or as another user."""
        entry = self._entries.get(key)
        if entry is None or not entry.same_place(Checked(key, uid, body)):
            return ()
        healths = [it.health for it in entry.checks]
        return tuple(held(it.check, it.state, flapping=it.flapping) for it in healths)

    def release(self, key: Key) -> None:
        """Check this entry no more."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._drop(entry.checks)

    def states(self, key: Key) -> list[tuple[str, bool]]:
        """Return the state of each check of an entry, and whether it flaps."""
        entry = self._entries.get(key)
        return [(it.health.state, it.health.flapping) for it in entry.checks] if entry else []

    def details(self, key: Key) -> list[Json]:
        """Return what this node alone knows of each check of an entry."""
        now = self._loop.time()
        entry = self._entries.get(key)
        return [_details(it.health, now) for it in entry.checks] if entry else []

    def close(self) -> None:
        """Check nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        for key in list(self._entries):
            self.release(key)
        for running in self._commands:
            running.close()
        self._words.close()
        self._workers.close()
        self._guard.close()

    def say(self, key: Key, state: str, note: str) -> bool | None:
        """Take in what an owner says of its `ttl` check; None: there is none. Has it changed?"""
        entry = self._entries.get(key)
        for one in entry.checks if entry else ():
            if one.health.check.kind == "ttl":
                self._words.grant(key, one.health.check.interval_ms / 1000)
                return one.health.take(Outcome(state, note), self._loop.time())
        return None

    def _new(self, entry: Checked, check: Check, before: Json, hurry: Hurry) -> One:
        now = self._loop.time()
        one = One(entry, Health(check, before["state"], flapping=bool(before["flapping"]), now=now))
        interval = check.interval_ms / 1000
        if check.kind == "ttl":
            self._words.grant(entry.key, interval)
        elif check.kind != PORT or one.health.state != PASSING:
            lane = "exec" if check.kind == "exec" else "network"
            one.slot = self._schedule.add(one, lane, entry.uid, interval, now, hurry=hurry)
        return one

    def _drop(self, checks: Iterable[One]) -> None:
        for one in list(checks):
            if one.slot is None:
                if one.health.check.kind == "ttl":
                    self._words.end(one.entry.key)
                continue
            self._schedule.drop(one.slot)
            if one.cancel is not None:
                one.cancel()
                self._finished(one)

    # -- asking

    def _arm(self) -> None:
        due = self._schedule.deadline()
        if self._timer is not None:
            if due is not None and self._timer.when() <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        self._ready += self._schedule.start(self._loop.time(), STARTED_PER_TURN)
        self._pump()
        self._arm()

    def _pump(self) -> None:
        """Ask whoever is due. An asking may be over at once, and another due for it."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._ready:
                slot = self._ready.pop()
                if slot.dropped:
                    self._ready += self._schedule.finish(slot, self._loop.time())
                    continue
                one = slot.what
                one.cancel = _nothing  # what is over at once takes it back before it is replaced
                cancel = self._ask(one)
                if one.cancel is _nothing:
                    one.cancel = cancel
        finally:
            self._pumping = False

    def _ask(self, one: One) -> Callable[[], object]:
        check = one.health.check
        done = partial(self._take, one)
        match check.kind:
            case "tcp":
                where = _where(check, one.entry)
                timeout = check.timeout_ms / 1000
                return Connecting(self._loop, self._workers, where, timeout, done).cancel
            case "exec":
                return self._run(one, check, done)
            case "port":
                assert one.entry.pid is not None
                assert check.target is not None
                return Listening(self._workers, one.entry.pid, int(check.target), done).cancel
            case _:
                return self._get(one, check, done)

    def _run(self, one: One, check: Check, done: Callable[[Outcome], None]) -> Callable[[], object]:
        if one.running is not None and one.running.lingers:
            done(Outcome(CRITICAL, "the last run was killed and is not gone yet"))
            return _nothing
        one.running = Running(
            self._loop,
            self._workers,
            check.command,
            check.timeout_ms / 1000,
            done,
            uid=one.entry.uid,
            agent_uid=self._uid,
            environment={**self._environment, **_about(one.entry)},
            guard=self._guard,
        )
        # Also one that was dropped before it had begun is to be gone at our end.
        self._commands = [it for it in self._commands if it.lingers] + [one.running]
        return one.running.cancel

    def _get(self, one: One, check: Check, done: Callable[[Outcome], None]) -> Callable[[], object]:
        if not web.available():  # it was when this was registered: nothing is known now
            one.health.output = web.MISSING
            self._finished(one)
            return _nothing
        return self._web.ask(check, _url(check, one.entry), done)

    def _take(self, one: One, outcome: Outcome) -> None:
        """Take in what came of asking."""
        assert one.slot is not None
        now = self._loop.time()
        changed = one.health.take(outcome, now, now - one.slot.due)
        if one.health.check.kind == PORT and outcome.state == PASSING:
            self._schedule.drop(one.slot)  # it was asked whether it does, not whether it still does
        self._finished(one)
        entry = one.entry
        if changed:
            self._changed(entry.key)
        if entry.looked is not None and all(it.slot is None or it.asked for it in entry.checks):
            looked, entry.looked = entry.looked, None
            looked()

    def _finished(self, one: One) -> None:
        assert one.slot is not None
        one.cancel = None
        self._ready += self._schedule.finish(one.slot, self._loop.time())
        self._pump()
        self._arm()

    def _unsaid(self, keys: Sequence[Key]) -> None:
        """Fail the `ttl` checks whose owners said nothing in time."""
        now = self._loop.time()
        for key in keys:
            for one in self._entries[key].checks:
                check = one.health.check
                unsaid = Outcome(CRITICAL, f"nothing said for {check.interval_ms / 1000:g} s")
                if check.kind == "ttl" and one.health.take(unsaid, now):
                    self._changed(key)


def _nothing() -> None:
    """End what is over already."""


def _where(check: Check, entry: Checked) -> tuple[str, int]:
    if check.target is not None:
        return split_host_port(check.target)
    assert entry.port is not None
    return entry.address, entry.port


def _url(check: Check, entry: Checked) -> str:
    assert check.target is not None
    scheme, _, rest = check.target.partition(":")
    if rest.startswith("//"):
        return check.target
    host = f"[{entry.address}]" if ":" in entry.address else entry.address
    return f"{scheme}://{host}:{entry.port}{rest}"


def _about(entry: Checked) -> dict[str, str]:
    """Return what a command is told of the entry that it checks."""
    return {
        "DISCO_SERVICE": entry.key[1],
        "DISCO_ID": entry.key[2],
        "DISCO_ADDRESS": entry.address,
        "DISCO_PORT": "" if entry.port is None else str(entry.port),
    }


def _details(health: Health, now: float) -> dict[str, Any]:
    return {
        "output": health.output,
        "ago_ms": None if health.at is None else round((now - health.at) * 1000),
        "took_ms": round(health.took * 1000, 1),
        "failures": health.failures,
        "penalty": round(health.penalty(now), 2),
    }
