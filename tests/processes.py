"""Processes, as /proc tells of them."""

from pathlib import Path


def command_line(pid: int) -> str:
    """Return what a process runs; nothing if it has ended, or ends while it is read."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return words.replace(b"\0", b" ").decode(errors="replace").strip()
