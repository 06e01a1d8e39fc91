"""Checks as users write them, as they travel, and what is refused by name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent.checks import Check, bounds, spec, words
from discoagent.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("tcp", Check.tcp()),
        ("tcp:db.internal:5432", Check.tcp("db.internal:5432")),
        ("tcp:[::1]:80,interval=1s", Check.tcp("[::1]:80", interval="1s")),
        ("http:/health", Check.http("/health")),
        ("https:/health", Check.http("https:/health")),
        (
            "http://h:8080/a?b=c,interval=1s,timeout=200ms,rise=2,fall=3,match=ok",
            Check.http("http://h:8080/a?b=c", "1s", "200ms", 2, 3, "ok"),
        ),
        ("exec:pg_isready -q", Check.exec(["pg_isready", "-q"])),
        ("exec:sh -c 'a, b=1'", Check.exec(["sh", "-c", "a, b=1"])),
        ("exec:x a,interval=1s,fall=1", Check.exec(["x", "a"], interval=1, fall=1)),
        ("ttl:10s", Check.ttl("10s")),
    ],
)
def test_the_command_line(text: str, check: Check) -> None:
    """Every form, and options after a comma."""
    assert words.parse(text) == check
    assert bounds.read([check.packed()], "checks") == (check,)


@pytest.mark.parametrize(
    ("table", "check"),
    [
        (
            {"http": "/h", "interval": "5s", "timeout": "1s", "rise": 2, "fall": 3},
            Check.http("/h", "5s", "1s", 2, 3),
        ),
        ({"tcp": True}, Check.tcp()),
        ({"tcp": "h:1"}, Check.tcp("h:1")),
        ({"exec": ["a", "b c"]}, Check.exec(["a", "b c"])),
        ({"exec": "a 'b c'"}, Check.exec(["a", "b c"])),
        ({"ttl": "1m"}, Check.ttl("1m")),
    ],
)
def test_service_files(table: dict[str, Any], check: Check) -> None:
    """The tables of TOML."""
    assert words.from_table(table) == check


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be http:/PATH"),
        ("ping", "must be http:/PATH"),
        ("ttl", "interval"),
        ("ttl:soon", "interval"),
        ("ttl:10s,fall=2", "fall is no option of ttl, which takes no options"),
        ("tcp:nohost", "tcp:HOST:PORT"),
        ("tcp:h:99999", "tcp:HOST:PORT"),
        ("tcp:::1:80", "tcp:HOST:PORT"),
        ("tcp,match=x", "match is no option of tcp"),
        ("http:health", "http:/PATH"),
        ("http://user@h/", "without a user"),
        ("http:/a b", "http:/PATH"),
        ("http:/a,intervall=1s", "there is no option intervall"),
        ("exec:", "1 to 64 words"),
        ("exec:'a", "quotation"),
        ("tcp,interval=1d", "interval"),
        ("tcp,interval=1ms", "interval_ms"),
        ("tcp,timeout=10m", "timeout_ms"),
        ("tcp,rise=0", "rise"),
        ("tcp,fall=many", "fall"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    """With the field, and the part of it."""
    with pytest.raises(InvalidRequest) as caught:
        bounds.read_one(words.parse(text).packed(), "check")

    assert caught.value.field == "check"
    assert said in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        None,
        [None],
        ["tcp"],
        [{}],
        [{"kind": "port"}],
        [{"kind": ["tcp"]}],
        [{"kind": "tcp", "host": "x"}],
        [{"kind": "tcp", "target": 5}],
        [{"kind": "tcp", "interval_ms": 1.5}],
        [{"kind": "tcp", "interval_ms": True}],
        [{"kind": "http"}],
        [{"kind": "http", "target": "http:/" + "x" * 3_000}],
        [{"kind": "http", "target": "http:/\u202e", "match": ""}],
        [{"kind": "exec"}],
        [{"kind": "exec", "command": "true"}],
        [{"kind": "exec", "command": [b"true"]}],
        [{"kind": "exec", "command": ["a\0b"]}],
        [{"kind": "exec", "command": ["x" * 3_000]}],
        [{"kind": "exec", "command": ["x"] * 65}],
        [{"kind": "ttl", "interval_ms": 1_000}] * 2,
        [{"kind": "tcp"}] * 9,
    ],
)
def test_nonsense_over_the_local_api(value: Any) -> None:
    """Is refused, whatever it is."""
    with pytest.raises(InvalidRequest):
        bounds.read(value, "checks")


@pytest.mark.parametrize("what", ["pg_isready -q", None, 5])
def test_a_command_of_the_client_is_a_list(what: Any) -> None:
    """A text would be split by nobody."""
    with pytest.raises((InvalidRequest, TypeError)):
        Check.exec(what)


CHECKS = st.one_of(
    st.builds(
        Check,
        kind=st.just("tcp"),
        target=st.sampled_from([None, "h:1", "[::1]:2"]),
        interval_ms=st.integers(100, 10_000),
        timeout_ms=st.integers(10, 10_000),
        rise=st.integers(1, 5),
        fall=st.integers(1, 5),
        command=st.just(()),
        match=st.none(),
    ),
    st.builds(
        Check.exec,
        st.lists(st.text("ab '\"$\\", min_size=1), min_size=1, max_size=4),
        interval=st.integers(1, 5),
    ),
    st.builds(Check.http, st.sampled_from(["/h", "https:/h", "http://h/"]), match=st.just("x")),
    st.builds(Check.ttl, st.integers(1, 100)),
)


@given(CHECKS)
def test_a_check_outlives_every_form(check: Check) -> None:
    """Written, sent, held: it is the same."""
    assert bounds.read_one(check.packed(), "check") == check
    assert spec.of(spec.held(check, "critical", flapping=True)) == check
    if check.kind in ("exec", "tcp"):
        rest = f",interval={check.interval_ms}ms,timeout={check.timeout_ms}ms"
        rest += f",rise={check.rise},fall={check.fall}"
        assert words.parse(f"{check}{rest}") == check


@given(st.lists(CHECKS, max_size=4), st.lists(CHECKS, max_size=4))
def test_a_check_of_the_same_thing_keeps_its_state(one: list[Check], two: list[Check]) -> None:
    """And no other has one."""
    before = tuple(spec.held(check, "critical", flapping=True) for check in one)
    after = spec.carried(two, before)
    known = {check.same_thing for check in one}

    assert [spec.of(each) for each in after] == two
    for each in after:
        kept = spec.of(each).same_thing in known
        assert (each["state"], each["flapping"]) == (
            ("critical", True) if kept else ("pending", False)
        )


def test_the_worst_counts() -> None:
    """An instance without checks passes."""
    tcp = Check.tcp()

    def of(*states: str) -> str:
        return spec.worst(spec.held(tcp, state) for state in states)

    assert of() == "passing"
    assert of("passing", "warning") == "warning"
    assert of("warning", "pending", "passing") == "pending"
    assert of("pending", "critical") == "critical"
