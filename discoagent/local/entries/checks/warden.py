"""Kills the process groups that it was told of when the pipe that tells it ends. Run as a program.

A line is a group that begins, or, negative, one that is over. It loads next to nothing, for it is
there as long as the agent that has commands run; `guard.py` says why.
"""

import os
import sys
from signal import SIGKILL


def main() -> None:
    """Read until whoever tells us is gone."""
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    for group in groups:
        try:
            os.killpg(group, SIGKILL)
        except OSError:  # it has ended, or is another user's whom we cannot reach
            continue


if __name__ == "__main__":
    main()
