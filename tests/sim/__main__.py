"""`python -m tests.sim [MUTANT]...`: finds which random world notices each deliberate bug first.

Prints the rows of the table in the simulator's README.
"""

import sys

from tests.sim.survey import EVERY, row

for name in sys.argv[1:] or EVERY:
    print(row(name), flush=True)
