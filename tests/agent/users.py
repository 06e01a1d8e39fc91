"""Other users, for tests that run as root."""

import os
import pickle
import pkgutil
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import pytest

import discoagent
from discoagent.errors import DiscoError
from tests.agent.harness import AgentProcess, Raw

OWNER, STRANGER = 4_001, 4_002
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")

T = TypeVar("T")


@cache
def load_all_modules() -> None:
    """Load what is otherwise loaded on use: another user may be unable to read where it lies."""
    for module in pkgutil.walk_packages(discoagent.__path__, "discoagent."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def as_user(uid: int, work: Callable[[], T]) -> T:
    """Do something in a child process of another user (for tests that run as root)."""
    load_all_modules()
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


def codes(agent: AgentProcess, uid: int, *asked: tuple[str, dict[str, Any]]) -> list[int]:
    """Ask as another user, one thing after the other; return the code of each answer."""

    def code(raw: Raw, operation: str, arguments: dict[str, Any]) -> int:
        try:
            raw.ask(operation, **arguments)
        except DiscoError as error:
            return error.code
        return 0

    def work() -> list[int]:
        with Raw(agent.socket) as raw:
            return [code(raw, *each) for each in asked]

    return as_user(uid, work)


def asked(agent: AgentProcess, uid: int, operation: str, /, **arguments: Any) -> int:
    """Ask one thing as another user; return the code of the answer."""
    return codes(agent, uid, (operation, arguments))[0]
