"""Replicas with their histories, and watchers that go from one agent to another by token.

A watcher believes nothing: each row must follow from what it has seen. Everything is in one process
and in order, so a story of random changes, restarts and moves is replayed from its seed.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgpack

from discoagent import token
from discoagent.core.effects import DialOutcome, Effect, Emit, Event, EventKind
from discoagent.core.entry import Cause, MemberRecord
from discoagent.core.replica import Replica, Shown
from discoagent.local.entries.keeping import clock_of, mark
from discoagent.local.events.history import History
from discoagent.local.events.past import Past, continued
from discoagent.local.events.resuming import Resuming, Wish
from discoagent.local.requests import telling
from discoagent.local.requests.queries import Queries, Scope
from discoagent.store import Identity, Recalled, Store, StoredLife
from tests.core.cluster import Cluster
from tests.core.vocabulary import DEREGISTERED, entry

RowKey = tuple[str, str, str]
BACK = Cause("node-returned", b"", 7)
EXIT = Cause("exit", b"", 7)
WALL_MS = 1_790_000_000_000
EVERYTHING = Scope()
NODES = ("a", "b", "c")


@dataclass
class Watcher:
    """Who has seen what, and where it stands.

    `resets`: the nodes that were reset, None for all. `told`: the changes. It goes away once it was
    told so many as `enough`.
    """

    scope: Scope = field(default_factory=Scope)
    at: str | None = None
    view: dict[RowKey, Any] = field(default_factory=dict)
    token: str = ""
    resets: list[str | None] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    enough: int | None = None
    steps: bool = False

    def take(self, row: Any) -> None:
        """See one row."""
        if len(self.told) == self.enough:
            return
        kind, _, after, before, *_, where, node = row
        if kind == "told":
            return
        assert where, "every event carries a token"
        if kind == "reset":
            self.resets.append(node)
            self.view = {key: it for key, it in self.view.items() if node not in (None, key[2])}
        elif kind != "synced":
            self._change(kind, after, before)
        self.token = where

    def _change(self, kind: str, after: Any, before: Any) -> None:
        key = tuple((after or before)[:3])
        held = self.view.pop(key, None)
        assert held == (before and before[4:6]), f"{kind} {key} does not follow from {held}"
        assert (held is None) == (kind == "added")
        if kind != "removed":
            assert after[4:6] != held
            self.view[key] = after[4:6]
        self.told.append((kind, key[1]))


class World(Cluster):
    """Agents that tell watchers."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory`: where what is to outlive a restart is kept; None: it is not."""
        super().__init__()
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self.histories: dict[str, History] = {}
        self.pasts: dict[str, Past] = {}
        self.started: dict[str, float] = {}
        self.caught_up = True  # whoever begins, at once
        self.set_back_ms = 0  # are all clocks on the wall
        self.watchers: list[Watcher] = []
        self.stores: dict[str, Store] = {}
        self._ended: dict[str, Replica] = {}

    def wall_ms(self) -> int:
        """Return what all clocks on the wall show."""
        return WALL_MS + round(self.now * 1000) - self.set_back_ms

    def close(self) -> None:
        """Give everything back."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self.turn()
        for store in self.stores.values():
            store.close()
        self._loop.close()

    def begin(self, node: str, *seeds: str, lost: int = 0, good: bool = True) -> None:
        """Start an agent, perhaps again; so many of its entries ended meanwhile.

        `good`: what was kept of the former life is all that it had.
        """
        former = self._ended.pop(node, None)
        incarnation = former.id.incarnation + 1 if former else 1
        record = MemberRecord(f"{node}:1", "0", settled=False)
        replica = self.bare(node, incarnation=incarnation, record=record)
        recalled = self._recalled(node, former, good=good)
        entries = [it for it in former.own if it.shown] if former else []
        self._open(node, replica, recalled)
        for it in entries[lost:]:
            replica.put(it, BACK, self.now)
        ended = [Event(EventKind.REMOVED, node, None, it, EXIT) for it in entries[:lost]]
        self._carry_out(node, [Emit(event) for event in ended])
        replica.settle(BACK, self.now)
        self.run(node, replica.seeds([f"{seed}:1" for seed in seeds], self.now))
        self.pasts[node].begin()
        if self.caught_up:
            self.pasts[node].catch_up()

    def turn(self) -> None:
        """Let what is due in the loop be done."""
        self._loop.run_until_complete(asyncio.sleep(0))

    def checkpoint(self, node: str) -> None:
        """Have an agent keep what it shows."""
        self._loop.run_until_complete(self.pasts[node].checkpoint())
        self.stores[node].flush(5.0)

    def _recalled(self, node: str, former: Replica | None, *, good: bool) -> Recalled:
        directory = self._directory and self._directory / node
        store = self.stores[node] = Store(directory, Identity(node, "home"), wall_ms=lambda: 7)
        marks = [mark(former.own.clock)] if former else []
        return replace(store.recalled, entries=marks, good=good)

    def _open(self, node: str, replica: Replica, former: Recalled) -> None:
        store, life = self.stores[node], StoredLife(replica.id.incarnation, self.wall_ms())
        store.begin(life, [mark(0)], 5.0)
        continues = continued(former, node, clock_of(former.entries))
        history = self.histories[node] = History(replica, self.wall_ms, continues)
        self.pasts[node] = Past(
            life=life,
            history=history,
            store=store,
            former=former.lives,
            shown=replica.everything,
            secure=lambda: None,
            wall_ms=self.wall_ms,
            loop=self._loop,
        )
        self.started[node] = self.now

    def end(self, node: str, *, killed: bool = False) -> None:
        """End an agent; `killed`: its log lacks what was not written yet."""
        for watcher in self.watchers:
            if watcher.at == node:
                watcher.at = None
        self._ended[node] = self.running[node]
        self.kill(node, DialOutcome.REFUSED)
        if not killed:
            self.pasts[node].close()
        self.stores[node].close()

    def restart(self, node: str, *, lost: int = 0, killed: bool = False) -> None:
        """End an agent, and start it again at once."""
        self.end(node, killed=killed)
        self.begin(node, *self.running, lost=lost)

    def seen(self, node: str, scope: Scope) -> dict[RowKey, Any]:
        """Return what an agent shows, as a watcher has it."""
        return {
            (it.entry.name, it.entry.id, it.node): [it.entry.owner, it.entry.body]
            for it in self._present(self.running[node], scope, None)
            if it is not None
        }

    def watch(self, node: str, scope: Scope = EVERYTHING) -> Watcher:
        """Begin to watch, with the present."""
        watcher = Watcher(scope, node)
        self.watchers.append(watcher)
        self.histories[node].look()
        rows = telling.present(
            list(self._present(self.running[node], scope, None)),
            at=WALL_MS,
            token=self.histories[node].token(),
            lost=self.histories[node].lost,
            reset=False,
        )
        self._tell(watcher, rows)
        watcher.told.clear()
        return watcher

    def go_on(self, watcher: Watcher, node: str) -> None:
        """Go on from the watcher's token at an agent."""
        replica = self.running[node]
        resuming = Resuming(
            replica,
            self.histories[node],
            self.pasts[node],
            lambda scope, of: self._present(replica, scope, of),
            lambda: WALL_MS,
        )
        wish = Wish(token.read(watcher.token), watcher.scope, steps=watcher.steps)
        watcher.resets.clear()
        watcher.told.clear()
        self._tell(watcher, self._loop.run_until_complete(resuming.missed(wish)))
        if watcher.enough is None:
            watcher.at = node
            assert watcher.view == self.seen(node, watcher.scope)

    def check(self) -> None:
        """See that every watcher shows what its agent shows."""
        for replica in self.running.values():
            replica.check()
        for watcher in self.watchers:
            if watcher.at is not None:
                assert watcher.view == self.seen(watcher.at, watcher.scope)

    def _present(self, replica: Replica, scope: Scope, node: str | None) -> Iterable[Shown | None]:
        return Queries(replica).shown(scope, node)

    def _tell(self, watcher: Watcher, rows: Iterable[bytes]) -> None:
        last = None
        for packed in rows:
            last = msgpack.unpackb(packed)
            watcher.take(last)
        assert last is not None
        assert last[0] == "synced"

    def _carry_out(self, node: str, effects: list[Effect]) -> None:
        super()._carry_out(node, effects)
        events = [effect.event for effect in effects if isinstance(effect, Emit)]
        history = self.histories[node]
        for logged in history.follow(events) if events else ():
            row = msgpack.unpackb(telling.event(logged, history.token()))
            entry = logged.event.entry or logged.event.before
            assert entry is not None
            for watcher in self.watchers:
                if watcher.at == node and watcher.scope.concerns(entry):
                    watcher.take(row)


def three(directory: Path | None = None) -> World:
    """Return three agents that know each other, each with an entry."""
    world = World(directory)
    world.begin("a")
    world.begin("b", "a")
    world.begin("c", "a")
    for node in NODES:
        world.put(node, entry(f"of-{node}"))
    return world


def end(world: World, node: str, instance: str) -> None:
    """Withdraw an entry."""
    replica = world.running[node]
    world.run(node, replica.withdraw(entry(instance).key, DEREGISTERED, world.now))


def away(world: World, at: str) -> Watcher:
    """Return a watcher that has seen all there is at an agent, and went away."""
    watcher = world.watch(at)
    watcher.at = None
    return watcher
