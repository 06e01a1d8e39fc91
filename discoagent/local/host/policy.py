"""`[policy]`: which users and groups may register which services, and who may run the node. Pure.

    [policy]
    verify_ports = true
    operators = ["alice", "@admin"]
    register = { "web*" = ["www-data", "@deploy"], "db" = ["postgres"], "*" = ["*"] }

Who is a user's name or uid, a group's behind `@`, or `*`: everybody. Of `register` the first glob
that fits a service's name decides; a name that none fits is free. Root and the agent's own user may
do all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

EVERYBODY = "*"
Grants = tuple[tuple[str, tuple[str, ...]], ...]
WHO_RULE = 'a list of users, of groups as "@staff", or "*"'


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what on this node. `register`: globs in their order, and for whom each is."""

    register: Grants = ()
    operators: tuple[str, ...] = ()
    verify_ports: bool = False

    def grant(self, service: str) -> tuple[str, tuple[str, ...]] | None:
        """Return the glob that decides on a service, and for whom it is; None: it is free."""
        return next((it for it in self.register if fnmatchcase(service, it[0])), None)


def who(value: object) -> tuple[str, ...]:
    """Read a list of users and groups. Raises ValueError."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be {WHO_RULE}, not {value!r}")  # noqa: TRY004 - of a setting
    read = tuple(str(each) if type(each) is int else each for each in value)
    if not all(isinstance(each, str) and each.removeprefix("@") for each in read):
        raise ValueError(f"must be {WHO_RULE}, not {value!r}")
    return tuple(map(str, read))


def grants(value: object) -> Grants:
    """Read the table of globs. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f'must be a table such as {{ "web*" = ["www-data"] }}, not {value!r}')  # noqa: TRY004
    read = []
    for glob, names in value.items():
        if not glob:
            raise ValueError("must not have an empty name")
        try:
            read.append((str(glob), who(names)))
        except ValueError as error:
            raise ValueError(f"of {glob!r} {error}") from None
    return tuple(read)
