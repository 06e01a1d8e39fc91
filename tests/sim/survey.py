"""Every deliberate bug, and which random world is the first to notice it."""

import pytest

from discoagent.sim.chaos import run_seed
from tests.sim import (
    test_mutants,
    test_mutants_of_forgetting,
    test_mutants_of_messages,
    test_mutants_of_the_design,
    test_mutants_of_the_guard,
)
from tests.sim.mutation import SEEDS, Mutants

MODULES = (
    test_mutants,
    test_mutants_of_the_design,
    test_mutants_of_messages,
    test_mutants_of_the_guard,
    test_mutants_of_forgetting,
)
EVERY: dict[str, Mutants] = {
    name: module.mutants for module in MODULES for name in module.mutants.names()
}


def noticed(name: str) -> tuple[int, str] | None:
    """Return the first of the random worlds that notices this bug, and what it says; or None."""
    for seed in range(SEEDS):
        with pytest.MonkeyPatch.context() as patch:
            EVERY[name].put(name, patch)
            try:
                failure = run_seed(seed).failure
            except Exception as broken:  # noqa: BLE001 - a bug may break anything
                return seed, type(broken).__name__
        if failure is not None:
            return seed, failure.check
    return None


def row(name: str) -> str:
    """Return what the table says of a bug."""
    found = noticed(name)
    by = "its story alone" if found is None else f"seed {found[0]}: {found[1]}"
    return f"| `{name}` | {EVERY[name].meaning(name)} | {by} |"
