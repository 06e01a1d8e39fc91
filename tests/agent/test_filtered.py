"""Filters over the local socket: what a list with one shows, and what is refused."""

import pytest

from discoagent.errors import InvalidRequest
from discoagent.filters import LENGTH_MAX
from discoagent.local import door
from tests.agent.harness import Raw


def test_a_list_is_of_what_the_filter_wants(asker: Raw) -> None:
    """Together with all other conditions; overlays and rows are as without it."""
    asker.register("web", port=80, tags=["v2"], meta={"zone": "a"}, lifetime=["static"])
    asker.register("web", port=81, tags=["v1"], lifetime=["static"])
    asker.register("db", port=82, tags=["v2"], lifetime=["static"])

    def ports(expression: str, *services: str, **arguments: object) -> list[int | None]:
        return [it.port for it in asker.list(*services, filter=expression, **arguments)]

    assert ports('meta.zone != "a"') == [82, 81]
    assert ports('meta.zone != "a"', "web") == [81]
    assert ports("port >= 81", tags=["v2"]) == [82]
    assert ports('state == "passing" and owner.pid > 0', usable=True) == [82, 80, 81]
    assert ports("port > 99") == []


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("port >", "column 7"),
        ("", "column 1"),
        (" " * (LENGTH_MAX + 1), "at most 4096 characters"),
        (7, "must be a text"),
        (b"port > 1", "must be a text"),
    ],
)
def test_a_wrong_filter_is_refused_by_name(asker: Raw, expression: object, message: str) -> None:
    """By the agent too, whatever its client let pass."""
    error = asker.refusal("list", filter=expression)

    assert (error.code, error.field) == (InvalidRequest.code, "filter")
    assert message in error.message


def test_a_long_list_is_sifted_a_part_at_a_time(asker: Raw) -> None:
    """In order and whole; others are answered in between, even where nothing fits."""
    total = 2 * door.SIFTED_PER_TURN + 10
    for number in range(total):
        asker.send("register", service="bulk", id=f"b{number:05}", port=1 + number)
    assert all(asker.receive()[1] == 0 for _ in range(total))

    found = asker.list("bulk", filter=f"port in [1, {door.SIFTED_PER_TURN + 1}, {total}]")
    listed, pinged = (
        asker.send("list", services=["bulk"], filter="port == null"),
        asker.send("ping"),
    )

    assert [it.port for it in found] == [1, door.SIFTED_PER_TURN + 1, total]
    assert asker.receive()[:2] == [pinged, 0]
    assert asker.receive() == [listed, 0, {"partial": False}]
