"""`python -m tests.benchmarks NAME...`: run the benchmarks of these modules, one after another."""

import compileall
import importlib
import signal
import sys
from pathlib import Path
from types import FrameType

import discoagent
from tests.benchmarks.kit.report import Machine

SECONDS_MAX = 1_800  # for any one of them


def names() -> list[str]:
    """Return the benchmarks that there are."""
    return sorted(
        path.stem
        for path in Path(__file__).parent.glob("[a-z]*.py")
        if not path.stem.startswith("test_")
    )


def usage() -> str:
    """Return how to call this, and what each benchmark measures, in its own words."""
    lines = ["usage: python -m tests.benchmarks NAME...", ""]
    for name in names():
        words = importlib.import_module(f"tests.benchmarks.{name}").__doc__ or ""
        lines += [name, *(f"    {line}".rstrip() for line in words.strip().splitlines()), ""]
    return "\n".join(lines)


def main(wanted: list[str]) -> int:
    """Run each benchmark's `main()`; return the exit code."""
    if "--help" in wanted or "-h" in wanted:
        print(usage(), end="")
        return 0
    unknown = [name for name in wanted if name not in names()]
    if unknown or not wanted:
        print(usage(), end="", file=sys.stderr)
        return 2
    for package in (discoagent.__path__[0], Path(__file__).parents[1]):
        compileall.compile_dir(package, quiet=2)  # as an installer does
    signal.signal(signal.SIGALRM, _over)
    for name in wanted:
        machine = Machine()
        signal.alarm(SECONDS_MAX)
        importlib.import_module(f"tests.benchmarks.{name}").main()
        signal.alarm(0)
        print(machine.note(), flush=True)
    return 0


def _over(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"a benchmark takes at most {SECONDS_MAX} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
