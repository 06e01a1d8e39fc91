"""Who may register what here, beyond whose process it is."""

from discoagent.checks.spec import Check
from discoagent.core.entry import Entry
from discoagent.errors import Conflict, InvalidRequest, Refused
from discoagent.instance import unpack_owner
from discoagent.local import owners
from discoagent.local.checks import web
from discoagent.local.checks.commands import may_run_as
from discoagent.local.operations import Register
from discoagent.local.owners import Asker


class Admission:
    """Admits what is asked for, or refuses it without a trace."""

    def __init__(self, uid: int) -> None:
        """`uid` is the agent's user."""
        self._uid = uid

    def check_checks(self, checks: tuple[Check, ...], owner_uid: int, port: int | None) -> None:
        """Raise Refused or InvalidRequest if a check cannot be made here for that owner."""
        for check in checks:
            if check.needs_port and port is None:
                raise InvalidRequest(
                    f"checks: {check} asks at the instance's own port, and it has none",
                    field="checks",
                )
            if check.kind == "exec" and not may_run_as(owner_uid, self._uid):
                raise Refused(
                    f"checks: {check} would run as uid {owner_uid}, the owner, and this agent "
                    f"(uid {self._uid}) cannot become that user",
                    kind="permission",
                    field="checks",
                )
            if check.kind == "http" and not web.available():
                raise InvalidRequest(f"checks: {web.MISSING}", kind="missing", field="checks")

    def check_replace(self, call: Register, before: Entry, kind: str, asker: Asker) -> None:
        """Raise Conflict or Refused unless the asker takes over, and may, what another owns.

        `kind` is that of the lifetime that the entry has.
        """
        owner = unpack_owner(before.owner)
        what = f"{before.name}/{before.id} is registered by {owners.describe(owner)}"
        if not call.replace:
            raise Conflict(f"{what}, a living {kind} owner: only replace takes it over", field="id")
        if asker.uid not in (owner.uid, 0):
            raise Refused(
                f"{what}: only that user and root may replace it, not uid {asker.uid}",
                kind="permission",
            )
