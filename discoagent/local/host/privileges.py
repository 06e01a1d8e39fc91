"""Who is who on this host, and what `[policy]` lets them do."""

import grp
import os
import pwd
import time
from collections.abc import Callable, Sequence

from discoagent.errors import Refused
from discoagent.local.host.owners import Asker
from discoagent.local.host.policy import EVERYBODY, Policy

KNOWN_SECONDS = 60.0  # that a user's names are kept: they may come from far
USERS_KEPT = 1_024


class Privileges:
    """Decides who may register a name, and who may run this node. `policy` may be replaced."""

    def __init__(self, uid: int, policy: Policy, now: Callable[[], float] = time.monotonic) -> None:
        """`uid` is the agent's own user, who may do all, as root may."""
        self.policy = policy
        self._uid = uid
        self._now = now
        self._known: dict[tuple[int, int], tuple[float, frozenset[str]]] = {}

    def check_operator(self, asker: Asker, operation: str) -> None:
        """Raise Refused unless the asker may run this node."""
        operators = self.policy.operators
        if not self._may(asker, operators):
            named = f", and for {', '.join(operators)}" if operators else ""
            raise Refused(
                f"{operation} is for root and the agent's own user (uid {self._uid}){named}, "
                f"not for uid {asker.uid}",
                kind="permission",
            )

    def check_register(self, asker: Asker, service: str) -> None:
        """Raise Refused unless the asker may register a service of this name."""
        grant = self.policy.grant(service)
        if grant is not None and not self._may(asker, grant[1]):
            glob, names = grant
            whose = f"is for {', '.join(names)}" if names else "is for nobody"
            raise Refused(
                f"service: {service} may not be registered by uid {asker.uid}: by this node's "
                f"policy {glob!r} {whose}",
                kind="policy",
                field="service",
            )

    def _may(self, asker: Asker, names: Sequence[str]) -> bool:
        if asker.uid in (0, self._uid) or EVERYBODY in names:
            return True
        return bool(names) and not self._names(asker).isdisjoint(names)

    def _names(self, asker: Asker) -> frozenset[str]:
        """Return what an asker is called: names and numbers, groups behind `@`."""
        key = (asker.uid, asker.gid)
        known = self._known.get(key)
        if known is None or self._now() - known[0] > KNOWN_SECONDS:
            if len(self._known) >= USERS_KEPT:
                self._known.clear()
            known = self._known[key] = (self._now(), _looked_up(*key))
        return known[1]


def _looked_up(uid: int, gid: int) -> frozenset[str]:
    names, groups = {str(uid)}, {gid}
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        pass
    else:
        names.add(user.pw_name)
        groups.update(os.getgrouplist(user.pw_name, user.pw_gid))
    for group in groups:
        names.add(f"@{group}")
        try:
            names.add(f"@{grp.getgrgid(group).gr_name}")
        except KeyError:
            continue
    return frozenset(names)
