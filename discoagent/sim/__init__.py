"""A whole cluster in one process: the real replica and the real wire codec under a virtual clock
and a seeded network.

    world = World(seed=7)
    world.start("a")
    world.start("b")
    world.register("a", "web", "w1")
    world.partition({"a"}, {"b"})
    world.run(seconds=10)
    world.settle()

Every check of `checks` runs after every step; `discoctl sim` does this with random
worlds by the thousand.
"""

from discoagent.sim.failure import CheckFailed
from discoagent.sim.profile import Knobs, Profile
from discoagent.sim.world import Restore, World

__all__ = ["CheckFailed", "Knobs", "Profile", "Restore", "World"]
