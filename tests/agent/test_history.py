"""The log of events: what it takes in besides them."""

from discoagent.core.entry import Cause, CauseWord, MemberRecord
from tests.agent.local_world import World, in_world


def test_a_move_without_an_event_is_looked_at_once() -> None:
    """An agent at peace has nothing to write."""

    async def story(world: World) -> None:
        world.history.look()
        record = MemberRecord("10.0.0.5:7800", "1", labels={"zone": "b"})
        world.replica.update_record(record, Cause(CauseWord.UPDATED, b"", 1), 0.0)

        assert [world.history.look() for _ in range(3)] == [True, False, False]

    in_world(story)
