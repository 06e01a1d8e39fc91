"""Standard streams that were closed before we began."""

import os
import sys

_NAMES = ("stdin", "stdout", "stderr")


def have_all() -> None:
    """Put the null device where a standard stream was closed: else a file of ours takes its place,
    and what is written to that stream goes into it."""
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
