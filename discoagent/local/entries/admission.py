"""Who may register what here, beyond whose process it is."""

from discoagent.checks.spec import PASSING, PENDING, PORT, Check, Json, held
from discoagent.core.entry import Entry
from discoagent.errors import Conflict, InvalidRequest, Refused
from discoagent.instance import unpack_owner
from discoagent.local.entries.checks import web
from discoagent.local.entries.checks.commands import may_run_as
from discoagent.local.entries.entries import Wish
from discoagent.local.host import capabilities, owners, ports
from discoagent.local.host.owners import Asker
from discoagent.local.host.privileges import Privileges
from discoagent.local.requests.operations import Register

PORT_INTERVAL_MS = 250  # between two looks whether a process listens yet


class Admission:
    """Admits what is asked for, or refuses it without a trace."""

    def __init__(self, uid: int, privileges: Privileges) -> None:
        """`uid` is the agent's user."""
        self._uid = uid
        self._privileges = privileges

    def admit(self, call: Register, wish: Wish, asker: Asker) -> None:
        """Raise what speaks against a registration. Whether its port is true is asked later."""
        self._privileges.check_register(asker, call.service)
        self.check_checks(call.checks, unpack_owner(wish.owner).uid, call.port)
        if not call.verify:
            return
        if call.port is None:
            raise InvalidRequest("verify: there is no port to look for", field="verify")
        if wish.process is None:
            raise InvalidRequest(
                f"verify: the ports of a process can be looked at, not those of a "
                f"{wish.lifetime.kind} lifetime",
                field="verify",
            )

    def port_check(self, call: Register, wish: Wish) -> Json | None:
        """Return the check that a registration's port is true, in its state; None: none is made.

        Raises Conflict if the process listens elsewhere, Refused if we may not look.
        """
        asked = call.verify or self._privileges.policy.verify_ports
        if not asked or wish.process is None or call.port is None:
            return None
        return self.verified(wish.process.facts.pid, call.port)

    @staticmethod
    def verified(pid: int, port: int) -> Json:
        """Look whether a process listens on this port; return the check that it does."""
        check = Check(PORT, target=str(port), interval_ms=PORT_INTERVAL_MS, fall=1)
        try:
            found = ports.look(pid, port)
        except PermissionError:
            raise Refused(
                f"verify: this agent may not look at the sockets of process {pid}, which is of "
                f"another user; {capabilities.HINT}",
                kind="permission",
                field="verify",
            ) from None
        if found.on(port):
            return held(check, PASSING)
        if found.tcp:
            others = ", ".join(map(str, sorted(found.tcp)))
            raise Conflict(
                f"port: {port} is said, but process {pid} listens on {others}",
                kind="port",
                field="port",
            )
        return held(check, PENDING)

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
                    f"(uid {self._uid}) cannot become that user; {capabilities.HINT}",
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
