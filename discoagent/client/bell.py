"""Wakes a thread that waits on descriptors."""

import os
import select
import threading
from contextlib import suppress


class Bell:
    """An eventfd to poll. `ring` is safe in any thread and signal handler, also after `close`."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.RLock()  # a signal handler may ring while its thread rings

    def ring(self) -> None:
        """Make the descriptor readable."""
        with self._lock:
            if self.descriptor >= 0:
                os.eventfd_write(self.descriptor, 1)

    def hush(self) -> None:
        """Make the descriptor silent again."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)

    def wait(self, seconds: float) -> None:
        """Wait for the bell, at most so long."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        poller.poll(max(seconds, 0) * 1000)

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:
            if self.descriptor >= 0:
                os.close(self.descriptor)
                self.descriptor = -1
