"""The table of deliberate bugs in the simulator's README."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "discoagent/sim/README.md"
ROW = re.compile(r"^\| `(\w+)` \| .* \| (.*) \|$", re.MULTILINE)


def mutants_of_the_table() -> dict[str, str]:
    """Return which random world is said to notice each bug first."""
    return dict(ROW.findall(README.read_text()))
