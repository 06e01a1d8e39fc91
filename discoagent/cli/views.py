"""What each kind of thing looks like to people: its columns, its lines, its colours. Pure.

`output.py` decides on the format; here only the words of the human formats (`table`, `wide`) are
made.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from discoagent.instance import Instance, Json, Lifetime, Member, Owner

T = TypeVar("T")
DOT = "\N{BLACK CIRCLE}"
COLOURS = {
    "passing": "green",
    "alive": "green",
    "ready": "green",
    "ok": "green",
    "problem": "red",
    "same": "green",
    "added": "green",
    "warning": "yellow",
    "suspect": "yellow",
    "restarting": "yellow",
    "pending": "yellow",
    "maint": "yellow",
    "draining": "yellow",
    "behind": "yellow",
    "updated": "yellow",
    "reset": "yellow",
    "not ready": "yellow",
    "critical": "red",
    "down": "red",
    "removed": "red",
    "failed": "red",
    "silent": "red",
    "left": "bright_black",
    "synced": "bright_black",
}


class Column(NamedTuple, Generic[T]):
    """One column of a table; `wide` ones are shown with `-o wide` alone."""

    title: str
    cell: Callable[[T], str]
    wide: bool = False


class View(NamedTuple, Generic[T]):
    """How one kind of thing is shown: its columns, its name, its JSON value, and what to say of
    none."""

    columns: tuple[Column[T], ...]
    name: Callable[[T], str]
    to_json: Callable[[T], Json]
    none: str


def plain(text: str) -> str:
    """Make text from elsewhere safe for a terminal: control and other unprintable characters
    escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def endpoint(host: str, port: int | None) -> str:
    """`host:port`, IPv6 in brackets; the host alone where there is no port."""
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url(instance: Instance) -> str:
    """`scheme://host:port` with the scheme out of `meta.scheme` if it is one, else `tcp`.

    What RFC 3986, 3.1 does not call a scheme may be an option to whoever is given the URL.
    """
    scheme = instance.meta.get("scheme", "")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        scheme = "tcp"
    return f"{scheme}://{endpoint(instance.address, instance.port)}"


def env(instance: Instance) -> str:
    """`NAME_HOST=` and `NAME_PORT=` for a shell to read, NAME being the service in capitals."""
    from shlex import quote

    name = re.sub(r"[^A-Z0-9]", "_", instance.service.upper())
    name = f"_{name}" if name[0].isdigit() else name
    port = "" if instance.port is None else str(instance.port)
    return f"{name}_HOST={quote(instance.address)}\n{name}_PORT={quote(port)}"


def pairs(values: Mapping[str, Any]) -> str:
    """`k=v` of each, or `-`."""
    return plain(" ".join(f"{key}={value}" for key, value in values.items())) or "-"


def words(values: "tuple[str, ...] | list[str]") -> str:
    """Each, with commas between, or `-`."""
    return plain(",".join(values)) or "-"


def span(ms: float) -> str:
    """A length of time as people say it, in its two largest units: `340ms`, `12.5s`, `3h 20m`, `2d
    4h`."""
    if ms < 1_000:
        return f"{ms:.0f}ms"
    seconds = ms / 1_000
    if seconds < 60:
        return f"{seconds:.1f}s"
    for large, small, unit in ((86_400, "d", 3_600), (3_600, "h", 60)):
        if seconds >= large:
            rest = int(seconds % large // unit)
            return f"{int(seconds // large)}{small} {rest}{'h' if small == 'd' else 'm'}"
    return f"{int(seconds // 60)}m {int(seconds % 60)}s"


def lifetime(value: Lifetime) -> str:
    """What ends it, in two words."""
    match value.kind:
        case "process":
            return f"process {value.pid}"
        case "lease":
            return f"lease {span(value.ttl_ms or 0)}"
        case kind:
            return kind


def owner(value: Owner | None) -> str:
    """Who, as far as the kernel told."""
    if value is None:
        return "-"
    parts = [f"uid {value.uid}"]
    if value.pid is not None:
        parts.append(f"pid {value.pid}")
    parts.extend(plain(word) for word in (value.exe, value.unit) if word)
    return ", ".join(parts)


INSTANCES: View[Instance] = View(
    (
        Column("SERVICE", lambda it: it.service),
        Column("ID", lambda it: it.id),
        Column("NODE", lambda it: it.node),
        Column("ADDRESS", lambda it: plain(endpoint(it.address, it.port))),
        Column("STATE", lambda it: it.state),
        Column("TAGS", lambda it: words(it.tags)),
        Column("LIFETIME", lambda it: lifetime(it.lifetime), wide=True),
        Column("OWNER", lambda it: owner(it.owner), wide=True),
        Column("UPDATED", lambda it: it.updated_at, wide=True),
        Column("META", lambda it: pairs(it.meta), wide=True),
    ),
    name=lambda it: it.name,
    to_json=Instance.to_json,
    none="no instances",
)

SERVICES: View[Json] = View(
    (
        Column("SERVICE", lambda it: it["service"]),
        Column("TOTAL", lambda it: str(it["total"])),
        Column("USABLE", lambda it: str(it["usable"])),
        Column("STATES", lambda it: ", ".join(f"{n} {state}" for state, n in it["states"].items())),
    ),
    name=lambda it: str(it["service"]),
    to_json=dict,
    none="no services",
)

MEMBERS: View[Member] = View(
    (
        Column("NODE", lambda it: it.node),
        Column("STATE", lambda it: it.state),
        Column("ADDRESS", lambda it: plain(it.address)),
        Column("INSTANCES", lambda it: str(it.instances)),
        Column("HEARD", lambda it: span(it.heard_ms)),
        Column("VERSION", lambda it: plain(it.version)),
        Column("INCARNATION", lambda it: str(it.incarnation), wide=True),
        Column("RTT", lambda it: "-" if it.rtt_ms is None else f"{it.rtt_ms:.1f}ms", wide=True),
        Column("LABELS", lambda it: pairs(it.labels), wide=True),
    ),
    name=lambda it: it.node,
    to_json=Member.to_json,
    none="no members",
)

JOINS: View[Json] = View(
    (
        Column("ADDRESS", lambda it: plain(it["address"])),
        Column("RESULT", lambda it: "ok" if it["ok"] else "failed"),
        Column("ERROR", lambda it: plain(it["error"] or "-")),
    ),
    name=lambda it: str(it["address"]),
    to_json=dict,
    none="nothing to join",
)


STANDINGS: View[Json] = View(
    (
        Column("NODE", lambda it: it["node"]),
        Column("STATE", lambda it: it["state"]),
        Column("MISSING", lambda it: pairs(it["missing"])),
    ),
    name=lambda it: str(it["node"]),
    to_json=dict,
    none="no other nodes",
)


DRAINS: View[Json] = View(
    (
        Column("SERVICE", lambda it: it["service"]),
        Column("BEFORE", lambda it: str(it["before"])),
        Column("AFTER", lambda it: str(it["after"])),
        Column("LAST", lambda it: "yes" if it["last"] else "-"),
    ),
    name=lambda it: str(it["service"]),
    to_json=dict,
    none="nothing to drain",
)


def check_line(it: Json) -> str:
    """A check as its user wrote it, its state, and what its own node knows of it."""
    from discoagent.checks.spec import of

    line = f"{of(it)} every {span(it['interval_ms'])}: {it['state']}"
    if it.get("flapping"):
        line += ", flapping" + (f" (penalty {it['penalty']:g})" if "penalty" in it else "")
    if it.get("ago_ms") is not None:
        line += f" ({span(it['ago_ms'])} ago, in {span(it['took_ms'])})"
    if it.get("failures", 0) > 1:
        line += f", failed {it['failures']} times in a row"
    return line + (f": {it['output']}" if it.get("output") else "")


def _maint_words(maint: Json) -> str:
    until = f"until {maint['until']}" if maint["until"] else "until it is put back"
    return f"{plain(maint['reason'])}; {until}" if maint["reason"] else until


def instance_lines(it: Instance) -> Iterator[tuple[str, str]]:
    """One instance whole, as (label, text); the line without a label is its title."""
    yield "", it.name
    yield "State", it.state + (f" ({_maint_words(it.maint)})" if it.maint else "")
    yield "Address", plain(endpoint(it.address, it.port))
    yield "Lifetime", lifetime(it.lifetime)
    yield "Owner", owner(it.owner)
    yield "Tags", words(it.tags)
    yield "Meta", pairs(it.meta)
    for check in it.checks:
        yield "Check", plain(check_line(check))
    yield "Registered", it.registered_at
    yield "Updated", it.updated_at
    yield "Ref", it.ref


def status_lines(it: Json) -> Iterator[tuple[str, str]]:
    """The state of an agent, as (label, text); the line without a label is its title."""
    yield "", f"{it['node']} - discoagent {plain(str(it['version']))}, cluster {it['cluster']}"
    remarks = ["alone"] if it.get("alone") else []
    remarks += [f"isolated since {it['isolated_since']}"] if it.get("isolated_since") else []
    remarks += [] if it.get("secure") else ["insecure: no cluster key"]
    state = "ready" if it["ready"] else "not ready"
    yield "State", state + (f" ({'; '.join(remarks)})" if remarks else "")
    yield "Members", ", ".join(f"{n} {state}" for state, n in it["members"].items()) or "-"
    yield "Instances", f"{it['instances']['local']} local, {it['instances']['total']} in all"
    yield "Bind", plain(f"{it['bind']}, advertised as {it['advertise']}")
    yield "Socket", plain(str(it["socket"]))
    yield "Main PID", str(it["pid"])
    yield "Uptime", span(it["uptime_ms"])
    yield "Incarnation", f"{it['incarnation']}, wire version {it['wire']}"


def version_lines(it: Json) -> Iterator[tuple[str, str]]:
    """The versions of everything that takes part, as (label, text)."""
    yield "", f"discoctl {it['version']}"
    yield "Agent", plain(str(it["agent"])) if it["agent"] else "not reachable"
    yield "Wire", str(it["wire"])
    yield "API", str(it["api"])
    yield "Python", it["python"]
    yield "ZeroMQ", f"{it['zmq']} (pyzmq {it['pyzmq']})"
