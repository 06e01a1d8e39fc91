"""What is true: every registration that was ever made, and every life's history, kept apart from
the core.

The checks compare the replicas with this. It holds what the core cannot: the whole past.
"""

from dataclasses import dataclass, field

from discoagent.core.digest import name_hash
from discoagent.core.entry import Cause, Entry, Key, Kind, MemberRecord, ReplicaId

CHECKPOINT = 64  # steps between two kept states of a life
MEMBER_KEY: Key = (Kind.MEMBER, "", "")


@dataclass(slots=True)
class Registration:
    """One registration over all its versions: what a client began, and how it ended.

    `late`: after a lost store its client was not back in time, so that it was rightly removed while
    it lived.
    """

    serial: int
    entry: Entry
    version: int = 0
    ended: Cause | None = None
    late: bool = False


def serial_of(entry: Entry) -> int:
    """Return to which registration an entry belongs; the simulator writes that into the body."""
    assert isinstance(entry.body, bytes)
    return int(entry.body.split(b" ", 1)[0])


@dataclass(slots=True)
class Life:
    """The history of one replica as its owner made it: state by clock."""

    replica: ReplicaId
    began: float
    boot: str
    clock: int = 0
    live: dict[int, Entry] = field(default_factory=dict)
    dots: dict[Key, int] = field(default_factory=dict)
    steps: list[tuple[int | None, Entry | None]] = field(default_factory=list)
    checkpoints: list[dict[int, Entry]] = field(default_factory=lambda: [{}])
    settled_at: int | None = None
    closing: Cause | None = None
    said_restart: bool = False
    _recent: dict[int, dict[int, Entry]] = field(default_factory=dict)

    def put(self, entry: Entry) -> None:
        """Make the next step: this entry, in place of the one of its key."""
        self._step(self.dots.get(entry.key), entry)
        self.dots[entry.key] = self.clock
        if isinstance(entry.body, MemberRecord) and entry.body.settled and not self.settled_at:
            self.settled_at = self.clock

    def withdraw(self, key: Key) -> None:
        """Make the next step: the entry of that key goes."""
        self._step(self.dots.pop(key), None)

    def _step(self, gone: int | None, entry: Entry | None) -> None:
        self.clock += 1
        if gone is not None:
            del self.live[gone]
        if entry is not None:
            self.live[self.clock] = entry
        self.steps.append((gone, entry))
        if self.clock % CHECKPOINT == 0:
            self.checkpoints.append(dict(self.live))

    def state_at(self, clock: int) -> dict[int, Entry]:
        """Return what was alive at that clock, by dot."""
        if clock == self.clock:
            return self.live
        known = self._recent.get(clock)
        if known is None:
            known = dict(self.checkpoints[clock // CHECKPOINT])
            for at in range(clock - clock % CHECKPOINT, clock):
                gone, entry = self.steps[at]
                if gone is not None:
                    del known[gone]
                if entry is not None:
                    known[at + 1] = entry
            while len(self._recent) >= CHECKPOINT:
                del self._recent[next(iter(self._recent))]
            self._recent[clock] = known
        return known

    def settled(self, clock: int) -> bool:
        """Had it said, by that clock, that all that outlived the former life is in the chain?"""
        return self.settled_at is not None and clock >= self.settled_at


class Model:
    """Every life and every registration of a world."""

    def __init__(self) -> None:
        self.lives: dict[ReplicaId, Life] = {}
        self.registrations: list[Registration] = []
        self.endings: set[tuple[str, Key, Cause]] = set()
        self.names: dict[int, str] = {}
        self.verdicts: set[ReplicaId] = set()  # lives that an operator had forgotten
        self._number = 0

    def begin(self, replica: ReplicaId, now: float, boot: str) -> Life:
        """Note a new life."""
        assert replica not in self.lives, "an incarnation is lived once"
        self.names[name_hash(replica.node)] = replica.node
        life = self.lives[replica] = Life(replica, now, boot)
        return life

    def register(self, kind: Kind, name: str, instance: str, owner: bytes) -> Registration:
        """Note a new registration."""
        serial = len(self.registrations)
        entry = Entry(kind, name, instance, owner, b"%d 0" % serial)
        registration = Registration(serial, entry)
        self.registrations.append(registration)
        return registration

    def update(self, registration: Registration) -> Entry:
        """Note that a registration changed, and return its new version."""
        registration.version += 1
        old = registration.entry
        body = b"%d %d" % (registration.serial, registration.version)
        registration.entry = Entry(old.kind, old.name, old.id, old.owner, body)
        return registration.entry

    def end(self, node: str, registration: Registration, cause: Cause) -> None:
        """Note that a registration ended."""
        registration.ended = cause
        self.endings.add((node, registration.entry.key, cause))

    def of(self, entry: Entry) -> Registration:
        """Return the registration that an entry is a version of."""
        return self.registrations[serial_of(entry)]

    def cause(self, word: str) -> Cause:
        """Return a cause like no other: its time is a number of its own."""
        self._number += 1
        return Cause(word, b"", self._number)
