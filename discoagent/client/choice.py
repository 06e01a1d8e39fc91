"""Which of several instances to connect to: the best state first, then what is preferred. Pure."""

from collections.abc import Callable, Iterable, Sequence

from discoagent.errors import NoInstance
from discoagent.instance import NO_META, Instance, Member

Pairs = Sequence[tuple[str, str]]

STATES_BY_WORTH = ("passing", "warning")  # then all others that are usable


def resolvable(instances: Iterable[Instance]) -> list[Instance]:
    """Leave out what cannot be connected to."""
    return [it for it in instances if it.usable and it.port is not None]


def in_order(
    instances: Iterable[Instance], prefer: Pairs, members: Iterable[Member]
) -> list[Instance]:
    """Sort instances: by state, and of one state those first that fit the most of `prefer`.

    A pair fits what has it in its meta, or whose node has it among its labels. What is equal keeps
    its order.
    """
    return sorted(instances, key=_worth(prefer, members))


def choose(
    instances: Iterable[Instance], prefer: Pairs = (), members: Iterable[Member] = ()
) -> Instance:
    """Return any one of those that `in_order` has first, so that callers spread over them."""
    worth = _worth(prefer, members)
    instances = list(instances)
    best = min(map(worth, instances))
    import random

    return random.choice([it for it in instances if worth(it) == best])  # noqa: S311 - no secret


def resolved(
    service: str, instances: Iterable[Instance], prefer: Pairs, members: Iterable[Member]
) -> Instance:
    """Choose one that can be connected to. Raises NoInstance if there is none."""
    found = resolvable(instances)
    if not found:
        raise NoInstance(f"{service}: no usable instance with a port")
    return choose(found, prefer, members)


def _worth(prefer: Pairs, members: Iterable[Member]) -> Callable[[Instance], tuple[int, int]]:
    """Return the key that is smaller the better an instance is."""
    labels = {member.node: member.labels for member in members}

    def fitting(it: Instance) -> int:
        of_node = labels.get(it.node, NO_META)
        return sum(value in (it.meta.get(key), of_node.get(key)) for key, value in prefer)

    return lambda it: (_rank(it.state), -fitting(it))


def _rank(state: str) -> int:
    return STATES_BY_WORTH.index(state) if state in STATES_BY_WORTH else len(STATES_BY_WORTH)
