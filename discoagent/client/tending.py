"""What is said of the health of this node's instances."""

from collections.abc import Iterable

from discoagent.client.base import Base
from discoagent.client.calls import read_row
from discoagent.client.lasting import Row
from discoagent.client.session import Call
from discoagent.instance import Instance, Json


def ttl(name: str, word: str, note: str = "") -> Call[Row]:
    """Say `pass`, `warn` or `fail` of an instance's `ttl` check; the result is the row after."""
    return Call("ttl", {"id": name, "word": word, "note": note}, read_row)


def with_details(row: Row, details: Iterable[Json]) -> Instance:
    """Return an instance with what its own node alone knows of its checks."""
    from dataclasses import replace

    instance = Instance.from_row(row)
    known = zip(instance.checks, details, strict=False)
    return replace(instance, checks=tuple({**check, **more} for check, more in known))


class Tending(Base):
    """All that is about the state of instances."""

    def ttl(self, id: str, word: str, note: str = "") -> Instance:  # noqa: A002 - the contract's word
        """Say how an instance of this node is: `pass`, `warn` or `fail`. It needs a `ttl` check.

        `note` is what `get` shows of it. Raises NoInstance, Refused, InvalidRequest.
        """
        return Instance.from_row(self._pool.ask(ttl(id, word, note)))
