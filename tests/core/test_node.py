"""One node over its lives. Any sequence of lives is a state machine's affair: test_handover.py."""

import pytest

from discoagent.core.entry import Entry, Kind, ReplicaId
from discoagent.core.node import Node
from tests.core.vocabulary import REGISTERED, A, entry, member

GRACE = 15.0
WEB = (Kind.SERVICE, "web")
DB = (Kind.SERVICE, "db")
E1, E2 = entry("1"), entry("2")
DB1 = entry("1", name="db")


def life(number: int) -> ReplicaId:
    """Return that life of a."""
    return ReplicaId("a", number)


def node_with(*entries: Entry, settled: bool = True, boot: str = "") -> Node:
    """Return a node whose present life has said this of itself."""
    node = Node(A)
    for it in (member(settled=settled, boot=boot), *entries):
        node.chain.put(it, REGISTERED)
    return node


def restarted(*entries: Entry, boot: str = "") -> Node:
    """Return a node that showed these entries, and whose next life began at 100."""
    node = node_with(*entries, boot=boot)
    node.begin(life(2), 100.0, GRACE)
    return node


class TestShown:
    """What is shown: the chain's entries, and held ones that it has not had."""

    def test_a_chain_s_own(self) -> None:
        """The member record is never shown."""
        node = node_with(E1, E2, DB1)

        assert sorted(node.groups()) == [DB, WEB]
        assert dict(node.group(WEB)) == {"1": E1, "2": E2}
        assert node.get(E1.key) == E1
        assert node.get(entry("9").key) is None
        assert (node.count(Kind.SERVICE), node.count(Kind.PRESENCE)) == (3, 0)
        assert node.shows(WEB)
        assert not node.shows((Kind.SERVICE, "x"))

    def test_held_ones_beside_it(self) -> None:
        """One service may be partly held, partly said again."""
        node = restarted(E1, DB1)
        node.chain.put(E2, REGISTERED)

        assert sorted(node.groups()) == [DB, WEB]
        assert dict(node.group(WEB)) == {"1": E1, "2": E2}
        assert (node.get(E1.key), node.get(DB1.key), node.get(entry("9").key)) == (E1, DB1, None)
        assert node.count(Kind.SERVICE) == 3
        assert node.shows(DB)
        assert not node.shows((Kind.SERVICE, "x"))

    def test_nothing_while_hidden(self) -> None:
        """Whatever its chain holds."""
        node = node_with(E1)
        node.hidden = True

        assert node.groups() == []
        assert list(node.group(WEB)) == []
        assert node.get(E1.key) is None
        assert node.count(Kind.SERVICE) == 0
        assert not node.shows(WEB)


class TestHandover:
    """From one life to the next."""

    def test_what_is_shown_is_held(self) -> None:
        """For the grace, counted from the first handover since a settled life."""
        node = restarted(E1)

        assert node.held == {WEB: {"1": E1}}
        assert (node.handed_over, node.held_until) == (100.0, 115.0)
        assert node.chain.replica == life(2)

        node.begin(life(3), 110.0, GRACE)

        assert node.held == {WEB: {"1": E1}}
        assert (node.handed_over, node.held_until) == (100.0, 115.0)

    def test_nothing_shown_is_nothing_held(self) -> None:
        """No handover begins with nothing, nor with a node that is hidden."""
        node = restarted()

        assert (node.held, node.handed_over) == (None, None)

        hidden = node_with(E1)
        hidden.hidden = True
        hidden.begin(life(2), 100.0, GRACE)

        assert hidden.held is None

    def test_the_present_life_s_word_on_a_key_stands(self) -> None:
        """What was held of it is taken once; an empty service is no service."""
        node = restarted(E1, E2, DB1)

        assert node.take_held(E1.key) == E1
        assert node.take_held(E1.key) is None
        assert node.take_held(DB1.key) == DB1
        assert node.held == {WEB: {"2": E2}}
        assert node.take_held(entry("9").key) is None

        node.held = None

        assert node.take_held(E2.key) is None

    def test_settled_is_a_word_of_the_chain(self) -> None:
        """Nobody is settled of whom nothing is known."""
        assert not Node(A).settled
        assert not node_with(settled=False).settled
        assert node_with().settled

    @pytest.mark.parametrize(
        ("former", "present", "rebooted"),
        [("x", "y", True), ("x", "x", False), ("", "y", False), ("x", "", False)],
    )
    def test_another_boot_ends_what_was(self, former: str, present: str, *, rebooted: bool) -> None:
        """Only if both lives said under which boot they run."""
        node = restarted(E1, boot=former)

        assert not node.rebooted

        node.chain.put(member(settled=False, boot=present), REGISTERED)

        assert node.rebooted == rebooted

    def test_a_life_that_said_nothing_hides_no_reboot(self) -> None:
        """The boot to compare with is the last one that was told."""
        node = restarted(E1, boot="x")
        node.begin(life(3), 101.0, GRACE)
        node.chain.put(member(settled=False, boot="y"), REGISTERED)

        assert node.rebooted


class TestCheck:
    """What must always hold is noticed when it does not."""

    def test_a_handover_as_it_should_be(self) -> None:
        """Nothing to say."""
        node_with(E1).check()
        restarted(E1).check()

    @pytest.mark.parametrize("broken", ["held and had", "held beside settled", "empty group"])
    def test_what_breaks_it(self, broken: str) -> None:
        """Each by itself."""
        node = restarted(E1)
        match broken:
            case "held and had":
                node.chain.put(E1, REGISTERED)
            case "held beside settled":
                node.chain.put(member(), REGISTERED)
            case _:
                node.held = {WEB: {}}

        with pytest.raises(AssertionError):
            node.check()
