"""What we tell of others: to peers that ask, and to users."""

from discoagent.core.effects import Outranked
from discoagent.core.timing import Timing
from tests.core.cluster import Cluster


class TestClockSetBack:
    """An agent whose clock was set back is told of its former life, and takes a higher number."""

    def outranked(self, cluster: Cluster) -> list[int]:
        """Start b with a lower incarnation than it had; return what it is told."""
        cluster.start("b", "a", incarnation=3)
        return [it.incarnation for it in cluster.effects["b"] if isinstance(it, Outranked)]

    def test_while_its_former_life_is_present(self, cluster: Cluster) -> None:
        """The agent was restarted at once."""
        cluster.start("a")
        cluster.start("b", "a", incarnation=5)
        cluster.kill("b")

        assert self.outranked(cluster) == [5]

    def test_while_its_former_life_is_down(self, cluster: Cluster) -> None:
        """The host booted without a clock, and that took a while."""
        cluster.start("a")
        cluster.start("b", "a", incarnation=5)
        cluster.kill("b")
        cluster.wait(6)

        assert self.outranked(cluster) == [5]

    def test_after_its_former_life_was_forgotten(self, cluster: Cluster) -> None:
        """There is a grave that its lower number cannot open."""
        cluster.timing = Timing(forget_after=20)
        cluster.start("a")
        cluster.start("b", "a", incarnation=5)
        cluster.kill("b")
        cluster.wait(26)

        assert cluster.running["a"].members(cluster.now)[1:] == []
        assert self.outranked(cluster) == [5]
