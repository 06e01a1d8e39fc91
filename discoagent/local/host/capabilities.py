"""What the kernel lets this process do beyond its user's rights: capabilities(7).

Under systemd the agent is no root and may have some by AmbientCapabilities=. Ambient ones would be
those of every command that it starts, too; so it gives that up, and keeps the powers themselves.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SYS_PTRACE = 5, 6, 7, 19
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4  # <linux/prctl.h>
OWN_STATUS = Path("/proc/self/status")
OWNERS_DROP_IN = "10-owners.conf"
HINT = f"its unit's drop-in {OWNERS_DROP_IN} allows it"


def have(*numbers: int) -> bool:
    """Are all these in effect for this thread?"""
    effective = _set("CapEff")
    return all(effective >> number & 1 for number in numbers)


def are_ours_alone() -> bool:
    """Does no command that this thread starts get any of them by itself?"""
    return not _set("CapAmb")


def keep_to_ourselves() -> None:
    """Let no command inherit them: for this thread and those it starts from now on."""
    if not are_ours_alone():
        import ctypes  # few agents need its memory

        ctypes.CDLL(None).prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


@contextlib.contextmanager
def looking_as(uid: int) -> Iterator[None]:
    """Let this thread see files as their owner does, where we may: setfsuid(2).

    A process's descriptors are for its user's eyes; CAP_SYS_PTRACE alone does not open them.
    """
    if uid == os.geteuid() or not have(CAP_SETUID):
        yield
        return
    import ctypes

    library = ctypes.CDLL(None)
    library.setfsuid(uid)
    try:
        yield
    finally:
        library.setfsuid(os.geteuid())


def _set(name: str) -> int:
    status = OWN_STATUS.read_text(encoding="utf-8", errors="replace")
    lines = (line.split() for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(next(lines, ["", "0"])[1], 16)
