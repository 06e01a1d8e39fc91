"""How a process ended, where the kernel tells: `exit:CODE`, `exit:SIGNAL`, or else plain `exit`.

A process that its parent has not reaped yet has its status in /proc, for those who may look into
it; to others it says 0, which is no status then. Of one that was reaped, kernels from 6.15 on tell
by its pidfd. It is never a guess.
"""

import fcntl
import os
import signal
import struct
from pathlib import Path

from discoagent.core.entry import CauseWord
from discoagent.local.host import capabilities

# <linux/pidfd.h>: struct pidfd_info in its first version, of which mask and exit_code are read.
INFO_BYTES = 64
INFO_EXIT = 1 << 3
GET_INFO = 3 << 30 | INFO_BYTES << 16 | 0xFF << 8 | 11  # _IOWR(0xFF, 11, struct pidfd_info)


def cause(pid: int, start: int, fd: int | None) -> str:
    """Return the cause's word for a process that has ended; `fd` is its pidfd, None if it was not
    watched when it did."""
    status = _reaped(fd)
    if status is None:
        status = _unreaped(pid, start)
    if status is None:
        status = _reaped(fd)  # it was reaped between the two looks
    return CauseWord.EXIT if status is None else word(status)


def word(status: int) -> str:
    """Return the cause's word for a status as wait(2) has it."""
    number = status & 0x7F
    return f"{CauseWord.EXIT}:{status >> 8 & 0xFF}" if number == 0 else _by_signal(number)


def _by_signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"SIGRTMIN+{number - signal.SIGRTMIN}"
    return f"{CauseWord.EXIT}:{name}"


def _reaped(fd: int | None) -> int | None:
    if fd is None:
        return None
    info = bytearray(INFO_BYTES)
    struct.pack_into("Q", info, 0, INFO_EXIT)
    try:
        fcntl.ioctl(fd, GET_INFO, info)
    except OSError:  # not reaped yet, or an older kernel
        return None
    (mask,) = struct.unpack_from("Q", info, 0)
    status: int = struct.unpack_from("i", info, INFO_BYTES - 4)[0]
    return status if mask & INFO_EXIT else None


def _unreaped(pid: int, start: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        may_look = _may_look(Path(f"/proc/{pid}/status").read_text(errors="replace"))
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] != b"Z" or int(fields[19]) != start:
        return None
    status = int(fields[-1])
    return status if status or may_look else None


def _may_look(status: str) -> bool:
    """Is what the kernel says of a process meant for us?"""
    uids = _field(status, "Uid")
    if set(uids) == {str(os.geteuid())}:
        return True
    return capabilities.have(capabilities.CAP_SYS_PTRACE)


def _field(status: str, name: str) -> list[str]:
    lines = status.splitlines()
    line = next((line for line in lines if line.startswith(f"{name}:")), f"{name}: 0")
    return line.split()[1:]
