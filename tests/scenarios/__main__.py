"""`python -m tests.scenarios [NAME]...`: writes what the scenarios bring about now into them."""

import sys

from tests.scenarios.player import SCENARIOS, played

for path in SCENARIOS:
    if path.stem in sys.argv[1:] or not sys.argv[1:]:
        path.write_text(played(path.read_text()))
