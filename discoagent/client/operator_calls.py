"""What an operator may ask of the agent itself: the calls of `operating.py`. Pure."""

from discoagent.client.session import Call
from discoagent.instance import Json


def log_level(level: str | None) -> Call[str]:
    """Ask for the level of the agent's log, or set it."""
    return Call("log-level", {"level": level}, lambda _, body: str(body["level"]))


def monitor(level: str) -> Call[None]:
    """Ask for the agent's log from now on."""
    return Call("monitor", {"level": level}, lambda _bodies, _body: None)


def examine() -> Call[list[list[str]]]:
    """Ask what is wrong with the agent's set-up."""
    return Call(
        "examine", {}, lambda _, body: [list(map(str, row[:4])) for row in body["diagnoses"]]
    )


def why(node: str) -> Call[Json]:
    """Ask what the state of a node is founded on."""
    return Call("why", {"node": node}, lambda _, body: dict(body))


def forget(node: str) -> Call[Json]:
    """Let the cluster forget a node."""
    return Call("forget", {"node": node}, lambda _, body: dict(body))


def settings() -> Call[Json]:
    """Ask for the configuration in force."""
    return Call("settings", {}, lambda _, body: dict(body["settings"]))
