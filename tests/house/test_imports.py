"""Imports run one way, and the world is met in few places."""

from pathlib import Path

import pytest

from tests.house.project import PACKAGE, ROOT, imports, module_name, python_files

# From the bottom up. A module imports from its own package, and from the layers below.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("core", "durations", "errors", "modes", "streams", "tls"),
    ("endpoints", "instance", "rules", "sockets", "store", "wire"),
    ("presence", "presence_rules"),
    ("api", "checks", "filters", "logs", "mesh", "token"),
    ("client", "ipc", "local", "sim"),
    ("aio", "cli", "daemon"),
)
LOCAL: tuple[tuple[str, ...], ...] = (
    ("host",),
    ("requests",),
    ("entries",),
    ("events", "operator", "peers"),
    ("door", "turns"),
)
KNOWS_ZMQ = {"client", "ipc", "mesh"}
CLI_KNOWS = {
    "api",
    "checks",
    "cli",
    "client",
    "durations",
    "errors",
    "filters",
    "instance",
    "presence",
    "presence_rules",
    "rules",
    "sockets",
    "streams",
}

FILES = [path for path in python_files("discoagent") if path != PACKAGE / "__init__.py"]


def named(path: Path) -> str:
    """Return a test's id: the path within the project."""
    return str(path.relative_to(ROOT))


def part(module: str) -> str:
    """Return the part of the house that a module is in: `discoagent.core.chain` -> `core`."""
    return [*module.split("."), ""][1]


def room(module: str) -> str:
    """Return the room of the local half that a module is in, or itself if it is in none."""
    return [*module.split("."), ""][2]


def ours(path: Path) -> set[str]:
    """Return the parts of the house that a file imports, its own left out."""
    parts = {part(name) for name in imports(path) if name.split(".")[0] == "discoagent"}
    return parts - {part(module_name(path)), ""}


@pytest.mark.parametrize("path", FILES, ids=named)
def test_imports_run_one_way(path: Path) -> None:
    """Every part of the house imports from the layers below its own only."""
    layer_of = {name: number for number, names in enumerate(LAYERS) for name in names}
    assert part(module_name(path)) in layer_of, "a new part of the house: which layer is it in?"
    own = layer_of[part(module_name(path))]

    assert {name for name in ours(path) if layer_of[name] >= own} == set()


@pytest.mark.parametrize("path", python_files("discoagent/local"), ids=named)
def test_the_local_half_has_layers_too(path: Path) -> None:
    """As the whole house has."""
    layer_of = {name: number for number, names in enumerate(LOCAL) for name in names}
    own = room(module_name(path))
    used = {room(name) for name in imports(path) if name.startswith("discoagent.local")}

    assert {it for it in used - {own, ""} if layer_of[it] >= layer_of.get(own, 0)} == set()


@pytest.mark.parametrize("path", python_files("discoagent/core"), ids=named)
def test_the_core_knows_nothing_of_ours_but_itself(path: Path) -> None:
    """The protocol stands alone."""
    assert ours(path) == set()


@pytest.mark.parametrize("path", python_files("discoagent/cli"), ids=named)
def test_the_cli_knows_the_client_alone(path: Path) -> None:
    """What `discoctl` can do, any program can."""
    assert ours(path) <= CLI_KNOWS


@pytest.mark.parametrize("path", FILES, ids=named)
def test_few_know_zmq(path: Path) -> None:
    """The wire's side, the local socket and the client, and no others."""
    if any(name.split(".")[0] == "zmq" for name in imports(path)):
        assert part(module_name(path)) in KNOWS_ZMQ


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_loop_but_asyncio_s(path: Path) -> None:
    """With zmq's descriptors `zmq.asyncio` has a third of the speed, and uvloop is slower too."""
    assert {name for name in imports(path) if name.startswith(("zmq.asyncio", "uvloop"))} == set()
