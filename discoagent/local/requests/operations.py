"""The operations of the local API as values: `api.py` says what they mean. Pure."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from discoagent.checks import Check as HealthCheck
from discoagent.filters import Filter
from discoagent.local.requests.presence_operations import Presence, Retrack, Topics, Track, Untrack
from discoagent.rules import LifetimeWish, Target
from discoagent.token import Token


class Keep(Enum):
    """The absent argument of an update, where nil has a meaning of its own."""

    KEEP = 0


KEEP = Keep.KEEP


class Hello(NamedTuple):
    """Ask who the agent is."""


class List(NamedTuple):
    """Ask for instances."""

    services: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    node: str | None = None
    usable: bool = False
    filter: Filter | None = None
    wait_ms: int = 0


class Get(NamedTuple):
    """Ask for one instance."""

    id: Target
    wait_ms: int = 0


class Services(NamedTuple):
    """Ask for the names of services, with counts by state."""

    wait_ms: int = 0


class Members(NamedTuple):
    """Ask for the nodes."""

    wait_ms: int = 0


class StatusOf(NamedTuple):
    """Ask how the agent is."""

    ready_ms: int = 0


class Ping(NamedTuple):
    """Ask whether somebody is there."""


class Register(NamedTuple):
    """Register an instance on this node."""

    service: str
    port: int | None = None
    address: str | None = None
    id: str | None = None
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = {}
    lifetime: LifetimeWish = LifetimeWish("process")
    replace: bool = False
    wrapper: int | None = None
    checks: tuple[HealthCheck, ...] = ()
    verify: bool = False
    dry_run: bool = False
    ref: tuple[int, int] | None = None
    registered_ms: int | None = None
    updated_ms: int | None = None


class Update(NamedTuple):
    """Change what is named, keep the rest."""

    id: Target
    port: int | Keep | None = KEEP
    address: str | Keep = KEEP
    tags: tuple[str, ...] | Keep = KEEP
    tag: tuple[str, ...] = ()
    untag: tuple[str, ...] = ()
    meta: Mapping[str, str] | Keep = KEEP
    set: Mapping[str, str] = {}
    unset: tuple[str, ...] = ()
    checks: tuple[HealthCheck, ...] | Keep = KEEP


class Renew(NamedTuple):
    """Give a lease its whole time to live again."""

    id: Target


class Ttl(NamedTuple):
    """Say how an instance is; of its `ttl` check."""

    id: Target
    word: str
    note: str = ""


class Maint(NamedTuple):
    """Take an instance, or all of this node, out of use; or put them back."""

    on: bool
    id: Target | None = None
    reason: str | None = None
    for_ms: int | None = None


class Drain(NamedTuple):
    """Let an instance, or all of this node, get nothing new."""

    id: Target | None = None


class Reload(NamedTuple):
    """Read configuration and service files again; or only say what that would change."""

    dry_run: bool = False


class Deregister(NamedTuple):
    """End an instance; its wrapper may tell how the process ended."""

    id: Target
    cause: str | None = None
    own: bool = False


class Watch(NamedTuple):
    """Ask for the present, or for what was missed, then for every change."""

    services: tuple[str, ...] | None = ()
    topics: tuple[str, ...] | None = None
    wait_ms: int = 0
    caught_up: bool = False
    token: Token | None = None
    seen: int = 0
    kept: bool = False
    filter: Filter | None = None


class Seen(NamedTuple):
    """Ask who has seen what this node has changed, once so many have (None: all)."""

    nodes: int | None = None
    wait_ms: int = 0


class Converged(NamedTuple):
    """Ask who has all that is shown here, once all have."""

    wait_ms: int = 0


class Cancel(NamedTuple):
    """End a watch."""

    watch: int


class More(NamedTuple):
    """Give a watch room for more batches."""

    watch: int
    batches: int


class LogLevel(NamedTuple):
    """Say at which level the log is written; set it first if one is named."""

    level: str | None = None


class Monitor(NamedTuple):
    """Ask for the log from now on."""

    level: str = "info"


class Settings(NamedTuple):
    """Ask for the configuration that is in force."""


class Examine(NamedTuple):
    """Ask what is wrong with the agent's set-up."""


class Why(NamedTuple):
    """Ask what the state of a node is founded on."""

    node: str


class At(NamedTuple):
    """Ask for the instances that were shown at a moment, as `List` asks for those of now."""

    ms: int
    list: List


class History(NamedTuple):
    """Ask for what happened, to one instance or to all, in the last so many milliseconds or ever.

    `last`: of the instance's latest registration alone.
    """

    id: Target | None = None
    since_ms: int | None = None
    last: bool = False
    wait_ms: int = 0


class Forget(NamedTuple):
    """Forget a node, here and everywhere."""

    node: str


class Join(NamedTuple):
    """Greet these nodes."""

    addresses: tuple[str, ...]
    wait_ms: int = 2_000


class Leave(NamedTuple):
    """Take this node out of the cluster, and end the agent."""


Call = (
    Hello
    | List
    | Get
    | Services
    | Members
    | StatusOf
    | Ping
    | Presence
    | Topics
    | Track
    | Retrack
    | Untrack
    | Register
    | Update
    | Renew
    | Ttl
    | Maint
    | Reload
    | Drain
    | Deregister
    | Watch
    | Seen
    | Converged
    | Cancel
    | More
    | LogLevel
    | Monitor
    | Examine
    | Settings
    | Forget
    | Why
    | At
    | History
    | Join
    | Leave
)
