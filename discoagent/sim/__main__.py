"""`python -m discoagent.sim`: what `discoctl sim` runs."""

import argparse
import sys
from collections.abc import Sequence

from discoagent import durations
from discoagent.sim.profile import Profile
from discoagent.sim.runs import run_many, run_one

SEEDS = 100
DURATIONS = ("partition", "pause", "restart", "clog", "latency")
PROFILE = ("nodes", "services", "seconds", "loss", "duplicates", "churn", "skew", *DURATIONS)


def main(words: Sequence[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    asked = _parser().parse_args(words)
    given = {name: getattr(asked, name) for name in PROFILE if getattr(asked, name) is not None}
    profile = Profile.asked(**given) if given else None

    def replay(seed: int) -> str:
        return " ".join(["discoctl sim --seed", str(seed), *_said(given)])

    if asked.seed is not None and asked.seeds is None:
        return run_one(asked.seed, profile, replay, log=not asked.quiet, raw=asked.json)
    first = asked.seed or 0
    return run_many(range(first, first + (asked.seeds or SEEDS)), profile, replay, raw=asked.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m discoagent.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this world, and print its log")
    parser.add_argument("--seeds", type=int, help=f"so many, from --seed on ({SEEDS})")
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--services", type=int, help="of each node, from the beginning on")
    parser.add_argument("--seconds", type=float, help="of trouble, before peace")
    parser.add_argument("--loss", type=float, help="a share of all messages, 0 to 1")
    parser.add_argument(
        "--partition", type=durations.parse, help="splits and cuts that last so long"
    )
    parser.add_argument("--churn", type=float, help="changes of registrations a second")
    parser.add_argument("--pause", type=durations.parse, help="agents are stopped for so long")
    parser.add_argument(
        "--restart", type=durations.parse, help="agents end, and are back after so long"
    )
    parser.add_argument("--clog", type=durations.parse, help="ways are clogged for so long")
    parser.add_argument("--latency", type=durations.parse, help="of the slowest message")
    parser.add_argument("--duplicates", type=float, help="a share of all messages, 0 to 1")
    parser.add_argument("--skew", type=float, help="how wrong clocks run, 0 to 1")
    parser.add_argument("--quiet", action="store_true", help="with --seed: no log")
    parser.add_argument("--json", action="store_true", help="what came of it, for programs")
    return parser


def _said(given: dict[str, float]) -> list[str]:
    """Return the flags that ask for this profile again."""
    unit = dict.fromkeys(DURATIONS, "s")
    return [f"--{name} {value:.12g}{unit.get(name, '')}" for name, value in given.items()]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
