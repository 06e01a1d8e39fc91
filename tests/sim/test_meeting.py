"""Aimed worlds: who asks what others have seen, and who is met that is not one of us."""

from collections.abc import Sequence

from discoagent import wire
from discoagent.core.effects import Answer, Effect, Namesake, Refused, SeenBy
from discoagent.core.entry import ReplicaId
from discoagent.core.greeter import WIRE
from discoagent.core.messages import Hello, Message, Refusal, RefusalKind, Welcome
from discoagent.sim import World
from tests.sim.worlds import state, three

STRANGER = ReplicaId("x", 5)


class Heard:
    """What one agent's shell was told to do, besides sending."""

    def __init__(self, world: World, name: str) -> None:
        self.effects: list[Effect] = []
        self._host = world.hosts[name]
        self._run = self._host._run
        self._host._run = self._note  # type: ignore[method-assign]

    def _note(self, effect: Effect) -> None:
        self.effects.append(effect)
        if not isinstance(effect, Answer) or effect.to.node in self._host.world.hosts:
            self._run(effect)  # a stranger has no host to be answered at

    def seen(self) -> dict[str, bool]:
        """Return who has answered, and whether all was reached there."""
        return {it.node: not it.behind for it in self.effects if isinstance(it, SeenBy)}

    def refused(self) -> list[tuple[RefusalKind, bool]]:
        """Return who was refused, and whether by us."""
        return [(it.kind, it.by_us) for it in self.effects if isinstance(it, Refused)]


def asks(world: World, name: str, of: str, more: int, patience: float) -> int:
    """Let one agent ask all others whether they hold another's chain, `more` steps from now."""
    host = world.hosts[name]
    owner = world.replica(of)
    goals = {owner.id: owner.own.clock + more}
    number, _, effects = world.replica(name).ask_seen(goals, patience, host.clock())
    host.done("asks who has seen it", effects)
    return number


def comes(world: World, name: str, message: Message, sender: ReplicaId) -> None:
    """Let a message come to an agent, wherever it is from."""
    world.hosts[name].arrived(wire.encode(message, sender))


def hello(
    cluster: str = "sim", endpoint: str = "x:7000", versions: Sequence[int] = WIRE, number: int = 1
) -> Hello:
    """Return a greeting."""
    return Hello(number, cluster, endpoint, (versions[0], versions[1]), (), 0, 0)


def said_to(world: World, name: str, endpoint: str) -> int:
    """Return the number of the greeting that is under way to an endpoint."""
    return world.replica(name)._greeter._said[endpoint].number


# ---- who has seen it


def test_what_all_have_is_told_at_once() -> None:
    world = three()
    heard = Heard(world, "a")

    asks(world, "a", "a", 0, patience=5)
    world.until(lambda: len(heard.seen()) == 2, within=1)

    assert heard.seen() == {"b": True, "c": True}


def test_what_comes_later_is_told_when_it_is_there() -> None:
    """Also by its owner; over a cut when another way is found."""
    world = three()
    heard = Heard(world, "a")
    world.cut("b", "c")

    asks(world, "a", "b", 1, patience=30)
    world.run(1)
    assert heard.seen() == {}
    world.register("b", "db", "late")
    world.until(lambda: len(heard.seen()) == 2, within=5)

    assert heard.seen() == {"b": True, "c": True}


def test_what_does_not_come_is_told_when_patience_is_over() -> None:
    """At once where there is none."""
    world = three()
    heard = Heard(world, "a")

    asks(world, "a", "b", 9, patience=2)
    world.run(1)
    assert heard.seen() == {}
    world.until(lambda: len(heard.seen()) == 2, within=2)
    assert heard.seen() == {"b": False, "c": False}

    heard.effects.clear()
    asks(world, "a", "b", 9, patience=0)
    world.until(lambda: len(heard.seen()) == 2, within=1)
    assert heard.seen() == {"b": False, "c": False}


def test_who_is_forgotten_or_silent_is_waited_for_no_longer() -> None:
    """An answer that comes after that says nothing."""
    world = three()
    heard = Heard(world, "a")
    world.replica("a").forget_seen(asks(world, "a", "a", 0, patience=1))
    world.run(2)
    assert heard.seen() == {}
    assert world.replica("a").counters["seen-unasked"] == 2

    world.power_off("c")
    asks(world, "a", "a", 0, patience=1)
    world.run(5)
    assert heard.seen() == {"b": True}


def test_a_later_life_is_beyond_all_of_the_former() -> None:
    world = three()
    heard = Heard(world, "a")
    former = world.replica("b").id
    world.stop("b")
    world.start("b")
    world.settle()

    host = world.hosts["a"]
    _, names, effects = world.replica("a").ask_seen({former: 99}, 1.0, host.clock(), ["c"])
    host.done("asks of the former life", effects)
    world.run(0.5)

    assert names == ["c"]
    assert heard.seen() == {"c": True}


def test_alone_nobody_is_asked() -> None:
    world = World()
    world.start("a")
    world.run(1)

    assert world.replica("a").ask_seen({}, 1.0, world.hosts["a"].clock())[1:] == ([], [])


# ---- who is not one of us


def test_another_cluster_and_another_wire_are_refused_and_said_once() -> None:
    """Whoever is refused again within a minute is refused in silence."""
    for greeting, kind in (
        (hello(cluster="other"), RefusalKind.CLUSTER),
        (hello(versions=(WIRE[1] + 1, WIRE[1] + 2)), RefusalKind.WIRE),
    ):
        world = three()
        heard = Heard(world, "a")
        comes(world, "a", greeting, STRANGER)
        comes(world, "a", greeting, STRANGER)

        assert heard.refused() == [(kind, True)]
        assert state(world, "a", "x") is None


def test_a_living_namesake_is_refused() -> None:
    """Of another node, and of the one that is greeted."""
    for bearer in ("b", "a"):
        world = three()
        heard = Heard(world, "a")
        other = ReplicaId(bearer, world.replica(bearer).id.incarnation + 1)
        comes(world, "a", hello(endpoint="elsewhere:7000"), other)

        assert heard.refused() == [(RefusalKind.NAME, True)]
        world.run(10)
        assert len(world.shown("a")) == 3


def test_who_is_refused_for_its_name_has_to_end() -> None:
    """Unless it knows others already, or an operator had it greet there."""
    refusal = "the name is in use"
    for lonely, invited in ((True, False), (True, True), (False, False)):
        world = World() if lonely else three()
        if lonely:
            world.start("a")
            world.run(1)
        heard = Heard(world, "a")
        host, replica = world.hosts["a"], world.replica("a")
        verb = replica.join("x:7000", host.clock()) if invited else None
        host.done("greets", verb or replica.seeds(["x:7000"], host.clock()))
        number = said_to(world, "a", "x:7000")
        comes(world, "a", Refusal(number, RefusalKind.NAME, "sim", refusal), STRANGER)

        assert heard.refused() == [(RefusalKind.NAME, False)]
        ends = [it.text for it in heard.effects if isinstance(it, Namesake)]
        assert ends == ([refusal] if lonely and not invited else [])


def test_an_answer_that_nobody_asked_for_says_nothing() -> None:
    """Nor does one of another cluster, or of our own name."""
    world = three()
    host, replica = world.hosts["a"], world.replica("a")
    before = len(world.events("a"))
    comes(world, "a", Refusal(99_999, RefusalKind.NAME, "sim", "go"), STRANGER)
    for sender, cluster in ((STRANGER, "other"), (ReplicaId("a", 1), "sim")):
        host.done("greets", replica.seeds(["x:7000"], host.clock()))
        number = said_to(world, "a", "x:7000")
        comes(world, "a", Welcome(number, cluster, "x:7000", WIRE, (), 0, ()), sender)

    assert replica.counters["refusal-unasked"] == 1
    assert replica.counters["welcome-unasked"] == 2
    assert (len(world.events("a")), state(world, "a", "x")) == (before, None)


def test_an_address_of_our_own_is_greeted_once() -> None:
    """Our own Hello comes back: whoever is there, it is us."""
    world = three()
    host, replica = world.hosts["a"], world.replica("a")
    host.done("greets", replica.seeds(["also-a:7000"], host.clock()))
    number = said_to(world, "a", "also-a:7000")
    comes(world, "a", hello(endpoint="a:7000", number=number), replica.id)

    assert replica.seeds(["also-a:7000"], host.clock()) == []
    assert replica.join("also-a:7000", host.clock()) == []
