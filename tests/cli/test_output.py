"""Every chosen of `-o`, as text that a reviewer can read."""

import io
import json
from dataclasses import replace
from types import MappingProxyType

import pytest

from discoagent.cli import output, views
from discoagent.cli.output import Printer
from discoagent.cli.views import INSTANCES, JOINS, MEMBERS, SERVICES
from discoagent.instance import Event, Instance, Json, Lifetime, Member, Owner

WEB = Instance(
    service="web",
    id="web-8080",
    node="a",
    address="10.0.0.5",
    port=8080,
    tags=("v2", "blue"),
    meta=MappingProxyType({"zone": "a", "scheme": "https"}),
    state="passing",
    lifetime=Lifetime("process", pid=812),
    owner=Owner(1000, 812, "/usr/bin/python3.11", "web.service"),
    checks=(),
    registered_at="2026-01-01T00:00:00.000Z",
    updated_at="2026-01-01T00:00:05.250Z",
    ref="a.1790000000000000.42",
)
DB = replace(
    WEB,
    service="my.db-2",
    id="db",
    node="node-2",
    address="fd00::5",
    port=None,
    tags=(),
    meta=MappingProxyType({}),
    state="restarting",
    lifetime=Lifetime("lease", ttl_ms=10_000),
    owner=Owner(0),
)
MEMBER = Member(
    "a", 1790000000000000, "10.0.0.5:7800", "alive", 2, 340, None, "0.1.0", {"zone": "a"}
)


def printed(chosen: str, kind: str = "many", *args: object, **options: bool) -> str:
    """Return what a printer writes."""
    out = io.StringIO()
    getattr(Printer(chosen, out=out, **options), kind)(*args)
    return out.getvalue()


def test_a_table_is_aligned_and_titled() -> None:
    """The columns people need first."""
    assert printed("table", "many", [DB, WEB], INSTANCES) == (
        "SERVICE  ID        NODE    ADDRESS        STATE       TAGS\n"
        "my.db-2  db        node-2  fd00::5        restarting  -\n"
        "web      web-8080  a       10.0.0.5:8080  passing     v2,blue\n"
    )


def test_wide_tells_the_rest() -> None:
    """The same, with what ends it, who, when and the meta."""
    assert printed("wide", "many", [WEB], INSTANCES) == (
        "SERVICE  ID        NODE  ADDRESS        STATE    TAGS     LIFETIME     "
        "OWNER                                               UPDATED                   META\n"
        "web      web-8080  a     10.0.0.5:8080  passing  v2,blue  process 812  "
        "uid 1000, pid 812, /usr/bin/python3.11, web.service  2026-01-01T00:00:05.250Z  "
        "zone=a scheme=https\n"
    ).replace("OWNER                                               U", "OWNER" + " " * 48 + "U")


def test_no_headers_leaves_the_titles_out() -> None:
    """For scripts that count lines."""
    assert printed("table", "many", [WEB], INSTANCES, headers=False) == (
        "web  web-8080  a  10.0.0.5:8080  passing  v2,blue\n"
    )


def test_an_empty_table_is_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stdout, a word on stderr."""
    assert printed("table", "many", [], INSTANCES) == ""
    assert capsys.readouterr().err == "discoctl: no instances\n"


def test_json_is_one_array_an_element_a_line() -> None:
    """Whole values, as the contract has them."""
    text = printed("json", "many", [DB, WEB], INSTANCES)

    assert json.loads(text) == [DB.to_json(), WEB.to_json()]
    assert len(text.splitlines()) == 4
    assert printed("json", "many", [], INSTANCES) == "[]\n"


def test_json_of_one_is_the_value_alone() -> None:
    """`get` and `resolve --one`."""
    assert json.loads(printed("json", "one", WEB, INSTANCES)) == WEB.to_json()
    assert json.loads(printed("json", "instance", WEB)) == WEB.to_json()


def test_jsonl_is_one_value_a_line() -> None:
    """For `while read`."""
    lines = printed("jsonl", "many", [DB, WEB], INSTANCES).splitlines()

    assert [json.loads(line) for line in lines] == [DB.to_json(), WEB.to_json()]


def test_json_keeps_every_character() -> None:
    """As UTF-8, not as escapes."""
    assert '"ü木"' in printed("json", "many", [replace(WEB, tags=("ü木",))], INSTANCES)


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ("name", "my.db-2/db@node-2\nweb/web-8080@a\n"),
        ("host:port", "fd00::5\n10.0.0.5:8080\n"),
        ("url", "tcp://fd00::5\nhttps://10.0.0.5:8080\n"),
        ("env", "MY_DB_2_HOST=fd00::5\nMY_DB_2_PORT=''\n"),
    ],
)
def test_formats_for_scripts(chosen: str, text: str) -> None:
    """One a line; `env` of the first alone, quoted for a shell."""
    assert printed(chosen, "many", [DB, WEB], INSTANCES) == text


@pytest.mark.parametrize("chosen", ["name", "host:port", "url", "env", "jsonl"])
def test_formats_for_scripts_say_nothing_of_nothing(chosen: str) -> None:
    """No line, no title."""
    assert printed(chosen, "many", [], INSTANCES) == ""


def test_ipv6_has_brackets_where_there_is_a_port() -> None:
    """So that the port can be told from the address."""
    there = replace(DB, port=5432)

    assert printed("host:port", "many", [there], INSTANCES) == "[fd00::5]:5432\n"
    assert printed("url", "many", [there], INSTANCES) == "tcp://[fd00::5]:5432\n"
    assert printed("env", "many", [replace(there, service="2x")], INSTANCES) == (
        "_2X_HOST=fd00::5\n_2X_PORT=5432\n"
    )


@pytest.mark.parametrize("scheme", ["-o /etc/x http", "1a", "h\n", "", "http:"])
def test_what_is_no_scheme_is_none(scheme: str) -> None:
    """Whoever says `curl $(discoctl resolve web -o url)` is given one word, and no option."""
    there = replace(WEB, meta={"scheme": scheme})

    assert printed("url", "many", [there], INSTANCES) == "tcp://10.0.0.5:8080\n"


def test_an_instance_whole() -> None:
    """What `get` shows."""
    assert printed("table", "instance", WEB) == (
        "● web/web-8080@a\n"
        "       State: passing\n"
        "     Address: 10.0.0.5:8080\n"
        "    Lifetime: process 812\n"
        "       Owner: uid 1000, pid 812, /usr/bin/python3.11, web.service\n"
        "        Tags: v2,blue\n"
        "        Meta: zone=a scheme=https\n"
        "  Registered: 2026-01-01T00:00:00.000Z\n"
        "     Updated: 2026-01-01T00:00:05.250Z\n"
        "         Ref: a.1790000000000000.42\n"
    )


def test_what_changed_is_named() -> None:
    """`register`, `update`, `renew`, `deregister`; another chosen shows it whole."""
    assert printed("table", "changed", [WEB]) == "web/web-8080@a\n"
    assert json.loads(printed("json", "changed", [WEB])) == WEB.to_json()


def test_services_and_members_and_joins() -> None:
    """The other lists."""
    services: list[Json] = [
        {"service": "web", "total": 3, "usable": 2, "states": {"passing": 2, "critical": 1}}
    ]
    joins: list[Json] = [
        {"address": "10.0.0.1:7800", "ok": True, "error": None},
        {"address": "10.0.0.2:7800", "ok": False, "error": "not reached"},
    ]

    assert printed("table", "many", services, SERVICES) == (
        "SERVICE  TOTAL  USABLE  STATES\nweb      3      2       2 passing, 1 critical\n"
    )
    assert printed("name", "many", services, SERVICES) == "web\n"
    assert printed("wide", "many", [MEMBER], MEMBERS) == (
        "NODE  STATE  ADDRESS        INSTANCES  HEARD  VERSION  INCARNATION       RTT  LABELS\n"
        "a     alive  10.0.0.5:7800  2          340ms  0.1.0    1790000000000000  -    zone=a\n"
    )
    assert json.loads(printed("json", "many", [MEMBER], MEMBERS))[0]["rtt_ms"] is None
    assert printed("table", "many", joins, JOINS) == (
        "ADDRESS        RESULT  ERROR\n"
        "10.0.0.1:7800  ok      -\n"
        "10.0.0.2:7800  failed  not reached\n"
    )


STATUS: Json = {
    "node": "a",
    "incarnation": 1790000000000000,
    "cluster": "prod",
    "version": "0.1.0",
    "wire": 1,
    "ready": True,
    "alone": False,
    "isolated": False,
    "bind": "0.0.0.0:7800",
    "advertise": "10.0.0.5:7800",
    "socket": "/run/discoagent/agent.sock",
    "pid": 812,
    "uptime_ms": 7_380_000,
    "secure": False,
    "members": {"alive": 3, "down": 1},
    "instances": {"local": 1, "total": 7},
}


def test_status_reads_like_systemctl() -> None:
    """A title, then what an administrator asks first."""
    assert printed("table", "value", STATUS, views.status_lines(STATUS), "ready") == (
        "● a - discoagent 0.1.0, cluster prod\n"
        "        State: ready (insecure: no cluster key)\n"
        "      Members: 3 alive, 1 down\n"
        "    Instances: 1 local, 7 in all\n"
        "         Bind: 0.0.0.0:7800, advertised as 10.0.0.5:7800\n"
        "       Socket: /run/discoagent/agent.sock\n"
        "     Main PID: 812\n"
        "       Uptime: 2h 3m\n"
        "  Incarnation: 1790000000000000, wire version 1\n"
    )
    assert json.loads(printed("json", "value", STATUS, views.status_lines(STATUS))) == STATUS


def event(kind: str, **fields: object) -> Event:
    """Return an event at a fixed time."""
    return Event(kind, "2026-01-01T00:00:05.250Z", **fields)  # type: ignore[arg-type]


LATER = replace(WEB, port=8081, tags=("v3",), state="critical")
STORY = [
    event("added", instance=WEB),
    event("synced", token="t1"),
    event("updated", instance=LATER, before=WEB, cause="updated", actor=Owner(1000, 99)),
    event("removed", before=LATER, cause="exit:SIGKILL"),
    event("reset", node="b"),
]


def test_events_as_lines() -> None:
    """When, what, which; of an update what it changed; and why."""
    assert "".join(printed("table", "event", each) for each in STORY) == (
        "2026-01-01T00:00:05.250Z added   web/web-8080@a 10.0.0.5:8080 passing tags=v2,blue\n"
        "2026-01-01T00:00:05.250Z synced\n"
        "2026-01-01T00:00:05.250Z updated web/web-8080@a 10.0.0.5:8081 address: 10.0.0.5:8080 -> "
        "10.0.0.5:8081 state: passing -> critical tags: v2,blue -> v3 cause=updated\n"
        "2026-01-01T00:00:05.250Z removed web/web-8080@a 10.0.0.5:8081 cause=exit:SIGKILL\n"
        "2026-01-01T00:00:05.250Z reset   node b\n"
    )
    assert printed("wide", "event", STORY[2]).endswith(
        "cause=updated by=uid 1000, pid 99 meta=zone=a scheme=https\n"
    )


def test_events_as_values() -> None:
    """A stream has no end, so `json` too is one value a line."""
    for chosen in ("json", "jsonl"):
        lines = "".join(printed(chosen, "event", each) for each in STORY).splitlines()

        assert [json.loads(line) for line in lines] == [each.to_json() for each in STORY]
    assert "".join(printed("name", "event", each) for each in STORY) == "web/web-8080@a\n" * 3


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code says it all."""
    for chosen in output.EVERY:
        assert printed(chosen, "many", [WEB], INSTANCES, quiet=True) == ""
    assert printed("table", "many", [], INSTANCES, quiet=True) == ""
    assert capsys.readouterr().err == ""


def test_colour_on_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never with NO_COLOR, nor where the terminal cannot."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    assert output.wants_colour(Terminal())
    assert not output.wants_colour(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not output.wants_colour(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.wants_colour(Terminal())


def test_colour_does_not_move_columns() -> None:
    """Widths are of what is seen."""
    coloured = printed("table", "many", [DB, WEB], INSTANCES, colour=True)

    assert "\x1b[32mpassing\x1b[0m" in coloured
    assert "\x1b[33mrestarting\x1b[0m  -" in coloured
    assert "\x1b[" not in printed("table", "many", [DB, WEB], INSTANCES)


def test_wide_characters_do_not_move_columns() -> None:
    """A character may fill two cells, or none."""
    assert output.width("木e\u0301") == 3


def test_nothing_from_elsewhere_reaches_the_terminal_raw() -> None:
    """A meta may hold any character; a terminal would obey some."""
    evil = replace(WEB, meta=MappingProxyType({"note": "\x1b[2J\n\u202e"}))

    assert "note=\\x1b[2J\\n\\u202e" in printed("wide", "many", [evil], INSTANCES)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0ms"),
        (999, "999ms"),
        (12_500, "12.5s"),
        (61_000, "1m 1s"),
        (7_380_000, "2h 3m"),
        (187_200_000, "2d 4h"),
    ],
)
def test_lengths_of_time(ms: float, text: str) -> None:
    """In the two largest units."""
    assert views.span(ms) == text
