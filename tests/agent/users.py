"""Other users, for tests that run as root."""

import os
import pickle
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def as_user(uid: int, work: Callable[[], T]) -> T:
    """Do something in a child process of another user (for tests that run as root)."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
        child = os.fork()
    if child == 0:
        outcome: Any
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            outcome = True, work()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            outcome = False, repr(error)
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(outcome, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        done, result = pickle.load(pipe)
    os.waitpid(child, 0)
    assert done, result
    answer: T = result
    return answer
