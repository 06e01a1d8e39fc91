"""`python -m tests.benchmarks NAME...`: run the benchmarks of these modules, one after another."""

import importlib
import sys
from pathlib import Path


def names() -> list[str]:
    """Return the benchmarks that there are."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main(wanted: list[str]) -> int:
    """Run each benchmark's `main()`; return the exit code."""
    unknown = [name for name in wanted if name not in names()]
    if unknown or not wanted:
        print(f"usage: python -m tests.benchmarks {'|'.join(names())}...", file=sys.stderr)
        return 2
    for name in wanted:
        importlib.import_module(f"tests.benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
