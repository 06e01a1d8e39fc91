"""Random changes of static instances on several agents, each answered before the next, and a
watcher who notes what it is shown of them."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from discoagent.client import Disco, Registration
from discoagent.instance import Event
from tests.agent.harness import DEADLINE, Cluster

SERVICE = "changing"
PER_NODE = 8  # instances, that come and go


class Change(NamedTuple):
    """One change that was made: each has a number, which is in the meta of what it leaves."""

    kind: str
    instance: str
    number: int


class Changers:
    """Makes changes at random, each answered before the next one."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.made: list[Change] = []
        self._luck = random.Random(seed)
        self._number = 0
        self._clients = {
            node: Disco(agent.socket, timeout=DEADLINE) for node, agent in cluster.agents.items()
        }
        self._held: dict[str, tuple[Registration, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for disco in self._clients.values():
            disco.close()

    def change(self, nodes: Sequence[str]) -> Change:
        """Make one change at one of these nodes."""
        node = self._luck.choice(nodes)
        instance = f"{node}-{self._luck.randrange(PER_NODE)}"
        self._number += 1
        held = self._held.pop(instance, None)
        if held is not None and self._luck.random() < 0.2:
            held[0].close()
            made = Change("removed", instance, held[1])
        else:
            made = self._put(node, instance, held)
        self.made.append(made)
        return made

    def changes(self, count: int, nodes: Sequence[str]) -> list[Change]:
        """Make so many."""
        return [self.change(nodes) for _ in range(count)]

    def while_(self, under_way: Callable[[], bool], nodes: Sequence[str]) -> list[Change]:
        """Make changes as long as something else is under way."""
        made = []
        while under_way():
            made.append(self.change(nodes))
        return made

    def _put(self, node: str, instance: str, held: tuple[Registration, int] | None) -> Change:
        meta = {"n": str(self._number)}
        if held is None:
            disco = self._clients[node]
            registration = disco.register(SERVICE, id=instance, meta=meta, static=True)
        else:
            registration = held[0]
            registration.update(meta=meta)
        self._held[instance] = registration, self._number
        return Change("added" if held is None else "updated", instance, self._number)


def change_of(event: Event) -> Change:
    """Return which change an event tells of; a removal tells the number of what is gone."""
    instance = event.instance or event.before
    assert instance is not None
    return Change(event.kind, instance.id, int(instance.meta["n"]))


class Noting:
    """Watches the changes, in a thread, through restarts of its agent; each must follow."""

    def __init__(self, socket: str, from_token: str | None = None) -> None:
        self.told: list[Change] = []
        self.view: dict[str, int] = {}
        self.tokens: list[str | None] = []
        self._disco = Disco(socket, timeout=DEADLINE)
        self._watch = self._disco.watch(SERVICE, from_token=from_token)
        self._changed = threading.Condition()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._note, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.close()
        self._thread.join(DEADLINE)
        self._disco.close()

    def _note(self) -> None:
        try:
            for event in self._watch:
                with self._changed:
                    self._take(event)
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._failed = error
                self._changed.notify_all()
            raise

    def _take(self, event: Event) -> None:
        assert event.kind != "reset"
        self.tokens.append(event.token)
        if event.kind == "synced":
            return
        change = change_of(event)
        assert (change.instance in self.view) == (event.kind != "added"), change
        if event.before is not None:
            assert self.view[change.instance] == int(event.before.meta["n"])
        if event.kind == "removed":
            del self.view[change.instance]
        else:
            assert self.view.get(change.instance, 0) < change.number
            self.view[change.instance] = change.number
        self.told.append(change)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of what was told."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._failed or holds(), DEADLINE)
        if self._failed is not None:
            raise self._failed
        assert found, self.told[-20:]


def check_told(noted: Sequence[Change], made: Sequence[Change], calm: Sequence[Change]) -> None:
    """See that all that was told was made, nothing twice, and the calm ones once each.

    A removal tells what was shown last, which may be less than what was made last.
    """
    counted = Counter((change.kind == "removed", change.number) for change in noted)
    assert max(counted.values()) == 1
    assert {change.number for change in noted} <= {change.number for change in made}
    assert [change for change in calm if change not in set(noted)] == []
