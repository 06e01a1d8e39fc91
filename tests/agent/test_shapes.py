"""What a peer's entries hold is opaque to the protocol, not to users: it must be readable."""

from collections.abc import Callable
from random import Random

import msgpack
import pytest

from discoagent.core.entry import Cause, Entry, Kind, MemberRecord, ReplicaId
from discoagent.core.messages import (
    Delta,
    DeltaMessage,
    Envelope,
    Farewell,
    Message,
    Page,
    Parting,
    Removal,
    SyncChunk,
)
from discoagent.instance import Owner, pack_actor, pack_owner
from discoagent.local.peers.shapes import check
from discoagent.wire import WireError
from tests.agent.harness import AgentProcess
from tests.agent.hostile import HostilePeer

OWNER = pack_owner(Owner(1000, 7, "/bin/web", None), 5, ("it",))
ACTOR = pack_actor(Owner(1000, 7, "/bin/web", None))
SERVICE = ["passing", "10.0.0.5", 80, ["t"], {"k": "v"}, ["process", 7], 1, 2, [3, 4], []]
META = ["alice", {"device": "tv"}, ["lease", 10_000], 1, 2, [3, 4]]


def spoiled(body: list[object], place: int, value: object) -> bytes:
    """Return a body with another value in one place."""
    raw: bytes = msgpack.packb([*body[:place], value, *body[place + 1 :]])
    return raw


SERVICES = {
    "no bytes": b"",
    "nothing of msgpack": b"\xc1",
    "too many bytes": msgpack.packb(SERVICE) + b"\0",
    "too short": msgpack.packb(SERVICE[:9]),
    "a map": msgpack.packb({}),
    "a state that is a number": spoiled(SERVICE, 0, 1),
    "a state that colours the terminal": spoiled(SERVICE, 0, "\x1b[31m"),
    "an address with a line feed": spoiled(SERVICE, 1, "a\nb"),
    "no address": spoiled(SERVICE, 1, None),
    "a port that is text": spoiled(SERVICE, 2, "80"),
    "tags that are none": spoiled(SERVICE, 3, None),
    "a tag that is a number": spoiled(SERVICE, 3, [1]),
    "a tag with a control character": spoiled(SERVICE, 3, ["\x9b31m"]),
    "a meta that is a list": spoiled(SERVICE, 4, ["k", "v"]),
    "a meta with a number": spoiled(SERVICE, 4, {"k": 1}),
    "a meta with a key of two lines": spoiled(SERVICE, 4, {"a\nb": "v"}),
    "a lifetime without a kind": spoiled(SERVICE, 5, []),
    "a lifetime of another shape": spoiled(SERVICE, 5, ["lease", "long"]),
    "a date that is text": spoiled(SERVICE, 6, "today"),
    "a date that is true": spoiled(SERVICE, 7, True),
    "half a ref": spoiled(SERVICE, 8, [3]),
    "a check that is a number": spoiled(SERVICE, 9, [1]),
}
METAS = {
    "no bytes": b"",
    "too short": msgpack.packb(META[:5]),
    "a key that is none": spoiled(META, 0, None),
    "a key with a control character": spoiled(META, 0, "a\x00"),
    "an endless key": spoiled(META, 0, "k" * 129),
    "a meta that is a list": spoiled(META, 1, []),
    "a meta with a number for a key": spoiled(META, 1, {1: 2}),
    "a meta with a ref of its own": spoiled(META, 1, {"ref": "mine"}),
    "a lifetime that is none": spoiled(META, 2, None),
    "half a ref": spoiled(META, 5, [3]),
}
OWNERS = {
    "no bytes": b"",
    "nothing of msgpack": b"12345678\xc1",
    "too short": b"12345678" + msgpack.packb([1000, 7, 5, None]),
    "a uid that is text": b"12345678" + msgpack.packb(["root", 7, 5, None, None]),
    "an executable that is a number": b"12345678" + msgpack.packb([0, 7, 5, 9, None]),
}
ACTORS = {
    "nothing of msgpack": b"\xc1",
    "too short": msgpack.packb([1000]),
    "a pid that is a list": msgpack.packb([1000, [], None, None]),
}


WEB: bytes = msgpack.packb(SERVICE)
ROOM: bytes = msgpack.packb(META)
PEER = ReplicaId("peer", 1)
CAUSE = Cause("registered", ACTOR, 1)
RECORD = MemberRecord("127.0.0.1:1", "0.1.0")


def service(body: bytes, owner: bytes = OWNER) -> Entry:
    """Return an entry of a service."""
    return Entry(Kind.SERVICE, "web", "web-80", owner, body)


def meta(body: bytes, owner: bytes = OWNER) -> Entry:
    """Return an entry of a topic."""
    return Entry(Kind.PRESENCE, "room:1", "3.000000000004", owner, body)


def delta(entry: Entry, cause: Cause = CAUSE) -> Delta:
    """Return a delta that brings one entry."""
    return Delta(PEER, 0, 1, {1: (entry, cause)}, {})


def page(entry: Entry) -> Page:
    """Return a page that brings one entry."""
    return Page(PEER, 0, 1, {1: entry}, ((1, 1),))


WHOLE = service(WEB)
BODIES = {
    **{f"service: {name}": service(body) for name, body in SERVICES.items()},
    **{f"meta: {name}": meta(body) for name, body in METAS.items()},
    **{f"owner: {name}": service(WEB, owner) for name, owner in OWNERS.items()},
}
SAID: dict[str, Callable[[Entry, Cause], Message]] = {
    "a delta": lambda entry, cause: DeltaMessage((delta(entry, cause),)),
    "a farewell": lambda entry, cause: Farewell(Parting.LEAVE, delta(entry, cause)),
    "a chunk's delta": lambda entry, cause: SyncChunk(1, True, (delta(entry, cause),)),
}


def refusal(message: Message) -> str:
    """Return why a message is refused; "" if it is not."""
    try:
        check(Envelope(message, PEER))
    except WireError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", BODIES)
def test_an_entry_that_cannot_be_read_is_refused(name: str) -> None:
    """By a reason of its own, which names the entry."""
    entry = BODIES[name]
    assert refusal(DeltaMessage((delta(entry),))).startswith("entry: the ")
    assert f"{entry.name}/{entry.id}" in refusal(SyncChunk(1, True, (page(entry),)))


@pytest.mark.parametrize("name", ACTORS)
def test_a_cause_that_cannot_be_read_is_refused(name: str) -> None:
    """Of an entry that came, and of one that went."""
    cause = Cause("registered", ACTORS[name], 1)
    gone = Delta(PEER, 3, 4, {}, {2: Removal(cause, 4)})

    assert "the actor of a cause, registered" in refusal(DeltaMessage((delta(WHOLE, cause),)))
    assert "the actor of a cause, registered" in refusal(DeltaMessage((gone,)))


@pytest.mark.parametrize("said", SAID)
def test_whatever_brings_entries_is_looked_at(said: str) -> None:
    """A message is refused for what it holds, whichever it is; what can be read is taken."""
    say = SAID[said]

    assert refusal(say(WHOLE, CAUSE)) == ""
    assert refusal(say(meta(ROOM), Cause("registered", b"", 1))) == ""
    assert refusal(say(service(b"\xc1"), CAUSE))


def test_what_a_later_version_appends_is_passed_by() -> None:
    """To bodies, owners and actors; and what has no name yet is only bytes."""
    owner = OWNER[:8] + msgpack.packb([1000, None, None, None, "web.service", "later"])
    actor = msgpack.packb([1000, None, None, None, "later"])
    later = service(msgpack.packb([*SERVICE, None, "later"]), owner)

    assert refusal(DeltaMessage((delta(later, Cause("later", actor, 1)),))) == ""
    assert refusal(DeltaMessage((delta(Entry(Kind.MEMBER, "", "", b"", RECORD)),))) == ""


def test_an_unreadable_entry_breaks_no_list(agent: AgentProcess) -> None:
    """Its message is dropped and counted; every question is answered as before."""
    with HostilePeer(agent, "test", Random(1)) as hostile, agent.raw() as asker:
        hostile.live_anew()
        begun = {1: (Entry(Kind.MEMBER, "", "", b"", RECORD), CAUSE), 2: (WHOLE, CAUSE)}
        hostile.say(DeltaMessage((Delta(hostile.id, 0, 2, begun, {}),)))
        for body in (b"\xc1", SERVICES["a tag that is a number"]):
            worse = Entry(Kind.SERVICE, "worse", "worse-80", OWNER, body)
            hostile.say(DeltaMessage((Delta(hostile.id, 2, 3, {3: (worse, CAUSE)}, {}),)))

        listed = asker.list()
        assert [instance.to_json()["tags"] for instance in listed] == [["t"]]
        assert asker.ask("services")["services"] == [["web", {"passing": 1}]]
        assert [event.instance for event in asker.watch().present()] == listed
        assert agent.status()["counters"]["mesh.router.entry"] == 2
