"""The configuration: order of the sources, every problem at once, and what does not go together."""

import contextlib
import string
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoagent import durations
from discoagent.core.timing import Timing
from discoagent.daemon import config, settings
from discoagent.daemon.config import Config, ConfigError


def load(file: Path | None = None, environ: dict[str, str] | None = None, **flags: Any) -> Config:
    """Load as the daemon does; flags that are not given say nothing."""
    return config.load(file, {"node": "n", **flags}, environ or {})


def problems(
    file: Path | None = None, environ: dict[str, str] | None = None, **flags: Any
) -> list[str]:
    """Return the problems of a configuration that must have some."""
    with pytest.raises(ConfigError) as caught:
        load(file, environ, **flags)
    return caught.value.problems


def written(directory: Path, text: str, name: str = "agent.toml") -> Path:
    """Write a file of the configuration and return its path."""
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- sources and their order ---


def test_nothing_said_is_the_contract_s_defaults(tmp_path: Path) -> None:
    """The defaults are those of the contract."""
    assert load(written(tmp_path, "")) == Config(
        node="n",
        cluster="default",
        bind="127.0.0.1:7800",
        advertise=None,
        join=(),
        socket=None,
        socket_mode=0o660,
        socket_group="discoagent",
        state_dir=None,
        insecure=False,
        labels={},
        timing=Timing(1.0, 2.0, 4.0, 15.0, 15.0, 3600.0),
        log_level="info",
        log_format=None,
    )


def test_a_whole_file(tmp_path: Path) -> None:
    """Every key can be said in a file."""
    file = written(
        tmp_path,
        """
        node = "web-1"
        cluster = "prod"
        bind = "10.0.0.5:7800"
        advertise = "[2001:db8::5]:7900"
        join = ["10.0.0.1:7800", "[2001:db8::1]:7800", "10.0.0.1:7800"]
        socket = "/run/x/agent.sock"
        socket_mode = "0600"
        socket_group = "staff"
        insecure = true
        labels = { zone = "a", "rack.row" = "7" }
        log_level = "debug"
        log_format = "json"
        [timing]
        heartbeat_interval = "200ms"
        suspect_after = "1.5s"
        down_after = "1m"
        restart_grace = 0
        isolation_grace = "0"
        forget_after = "2h"
        """,
    )

    assert config.load(file, {}, {}) == Config(
        node="web-1",
        cluster="prod",
        bind="10.0.0.5:7800",
        advertise="[2001:db8::5]:7900",
        join=("10.0.0.1:7800", "[2001:db8::1]:7800"),
        socket="/run/x/agent.sock",
        socket_mode=0o600,
        socket_group="staff",
        insecure=True,
        labels={"rack.row": "7", "zone": "a"},
        timing=Timing(0.2, 1.5, 60.0, 0.0, 0.0, 7200.0),
        log_level="debug",
        log_format="json",
    )


def test_flag_before_environment_before_files_before_default(tmp_path: Path) -> None:
    """One more source at a time, each wins over those before it."""
    file = written(tmp_path, 'cluster = "file"')
    environ = {"DISCOAGENT_CLUSTER": "environment"}

    assert load(written(tmp_path, "", "empty.toml")).cluster == "default"
    assert load(file).cluster == "file"
    assert load(file, environ).cluster == "environment"
    assert load(file, environ, set=("cluster=set",)).cluster == "set"
    assert load(file, environ, set=("cluster=set",), cluster="flag").cluster == "flag"


def test_drop_ins_are_laid_over_the_file_in_order(tmp_path: Path) -> None:
    """Later files win key by key; the keys of a table are keys of their own."""
    file = written(tmp_path, 'cluster = "a"\nlabels = { zone = "a", rack = "1" }')
    written(tmp_path / "agent.d", 'cluster = "b"\nlabels.rack = "2"', "10.toml")
    written(tmp_path / "agent.d", 'cluster = "c"', "20.toml")
    written(tmp_path / "agent.d", "cluster =", "30.toml.off")
    loaded = load(file)

    assert (loaded.cluster, dict(loaded.labels)) == ("c", {"zone": "a", "rack": "2"})


def test_the_environment_reaches_every_key() -> None:
    """Lists by commas, `__` for the dot, plain words for the rest."""
    loaded = load(
        environ={
            "DISCOAGENT_TIMING__DOWN_AFTER": "6s",
            "DISCOAGENT_JOIN": "127.0.0.1:1, [::1]:2,",
            "DISCOAGENT_INSECURE": "yes",
            "DISCOAGENT_LABELS": "zone=a,rack=7",
            "DISCOAGENT_LABELS__ROW": "3",
            "DISCOAGENT_SOCKET_MODE": "0600",
            "DISCO_SOCKET": "/not/ours",
        }
    )

    assert loaded.timing.down_after == 6.0
    assert loaded.join == ("127.0.0.1:1", "[::1]:2")
    assert loaded.insecure is True
    assert dict(loaded.labels) == {"rack": "7", "row": "3", "zone": "a"}
    assert loaded.socket_mode == 0o600


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("timing.heartbeat_interval=200ms", "timing", Timing(heartbeat_interval=0.2)),
        ('timing={down_after = "5s"}', "timing", Timing(down_after=5.0)),
        ("timing.isolation_grace=0", "timing", Timing(isolation_grace=0.0)),
        ("labels.zone=a", "labels", {"zone": "a"}),
        ('labels.zone="a b"', "labels", {"zone": "a b"}),
        ("cluster=12", "cluster", "12"),
        ("join=127.0.0.1:1,127.0.0.1:2", "join", ("127.0.0.1:1", "127.0.0.1:2")),
        ('join=["127.0.0.1:1"]', "join", ("127.0.0.1:1",)),
        ("insecure=true", "insecure", True),
        ("socket_mode=0600", "socket_mode", 0o600),
        ("socket_mode=600", "socket_mode", 0o600),
        ("socket_group=a=b", "socket_group", "a=b"),
        (" log_level =debug", "log_level", "debug"),
    ],
)
def test_set_reads_toml_else_text(text: str, key: str, value: object) -> None:
    """`--set KEY=VALUE` reaches every key, quoted or not."""
    assert getattr(load(set=(text,)), key) == value


def test_an_unknown_variable_is_a_warning() -> None:
    """It is named, the nearest key beside it, and nothing else happens."""
    environ = {"DISCOAGENT_JOINS": "x", "DISCOAGENT_NODE": "n", "PATH": "/bin"}

    assert load(environ=environ) == load()
    (warning,) = config.unknown_names(environ)
    assert warning.startswith("DISCOAGENT_JOINS in the environment names no configuration key")
    assert warning.endswith("(did you mean join?)")


def test_the_node_is_the_host_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that cannot be a node's is refused, and the sentence says what to give."""
    monkeypatch.setattr("socket.gethostname", lambda: "host-1")
    assert config.load(None, {}, {}).node == "host-1"

    monkeypatch.setattr("socket.gethostname", lambda: "no good")
    with pytest.raises(ConfigError, match=r"this host's name \(give --node\) must be 1 to 128"):
        config.load(None, {}, {})
    assert load().node == "n"


# --- problems ---


def test_every_problem_at_once_each_with_its_source(tmp_path: Path) -> None:
    """One run of `--check-config` names all that is to be mended."""
    file = written(tmp_path, 'nod = "a"\nbind = "x"\n[timing]\ndown_afer = "1s"\n[web]\nport = 1')
    drop_in = written(tmp_path / "agent.d", "cluster = 3", "10.toml")
    broken = written(tmp_path / "agent.d", "cluster =", "20.toml")
    environ = {"DISCOAGENT_LOG_LEVEL": "loud"}
    found = problems(file, environ, log_format="xml", set=("a=b", "c", "insecure=maybe"))

    assert found[:6] == [
        f"{file}: unknown key 'nod' (did you mean node?)",
        f"{file}: unknown key 'timing.down_afer' (did you mean timing.down_after?)",
        f"{file}: unknown key 'web'",
        f"{broken}: Invalid value (at end of document)",
        "--set: unknown key 'a'",
        "--set must be KEY=VALUE, not 'c'",
    ]
    assert found[6:] == [
        f"{file}: bind 'x' has no port: it must be HOST:PORT",
        f"{drop_in}: cluster must be a string, not 3",
        "DISCOAGENT_LOG_LEVEL must be one of debug, info, warning, error, not 'loud'",
        "--set insecure must be true or false, not 'maybe'",
        "--log-format must be one of text, json, journal, not 'xml'",
    ]


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """The default file may be missing, a named one may not."""
    missing = tmp_path / "agent.toml"

    assert problems(missing) == [f"{missing}: No such file or directory"]
    assert problems(tmp_path) == [f"{tmp_path}: Is a directory"]


def test_drop_ins_that_cannot_be_listed(tmp_path: Path) -> None:
    """Nothing that they say is passed over in silence."""
    file = written(tmp_path, "")
    (tmp_path / "agent.d").write_text("")

    assert problems(file) == [f"{tmp_path / 'agent.d'}: Not a directory"]


def test_what_is_nested_without_end(tmp_path: Path) -> None:
    """It is refused as all that cannot be read."""
    file = written(tmp_path, f"labels = {'[' * 9_999}")

    assert str(file) in problems(file)[0]
    assert "label" in problems(set=(f"labels.a={'[' * 9_999}",))[0]


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are said to be so."""
    file = tmp_path / "agent.toml"
    file.write_bytes(b"\xff\xfe")

    assert "can't decode" in problems(file)[0]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('cluster = ""', "cluster must be 1 to 128 characters"),
        ('cluster = "a b"', "cluster must be 1 to 128 characters"),
        (f'cluster = "{"x" * 129}"', "cluster must be 1 to 128 characters"),
        ('bind = "127.0.0.1:65535"', "port 65535 cannot be used"),
        ('bind = "127.0.0.1:65536"', "port 65536 is not within 1 to 65534"),
        ('bind = "127.0.0.1"', "must be HOST:PORT"),
        ('bind = "::1:7800"', "an IPv6 address must be in brackets"),
        ('bind = "[::1]"', "must be HOST:PORT"),
        ("bind = 7800", "bind must be a string, not 7800"),
        ('advertise = "127.0.0.1:0"', "port 0 is not within 1 to 65534"),
        ('advertise = "0.0.0.0:7800"', "advertise must name one host"),
        ('join = ["127.0.0.1:0"]', "port 0 is not within 1 to 65534"),
        ('join = ["[::]:7800"]', "join must name one host"),
        ('join = "127.0.0.1:7800"', "join must be a list of HOST:PORT"),
        ("join = [1]", "join must be a string, not 1"),
        (f'socket = "/{"s" * 107}"', "is 108 bytes long, the kernel takes 107"),
        ('socket = ""', "socket cannot be used: an empty path"),
        ('socket_mode = "0888"', "socket_mode must be a string of octal digits"),
        ("socket_mode = 660", "socket_mode must be a string of octal digits"),
        ('socket_group = ""', "socket_group must be the name of a group"),
        ('insecure = "true"', "insecure must be true or false, not 'true'"),
        ("labels = 3", "labels must be a table, not 3"),
        ("labels = { zone = 3 }", "labels.zone must be a string, not 3"),
        ('labels = { "a b" = "3" }', "unknown key 'labels.a b'"),
        (f'labels = {{ zone = "{"x" * 1025}" }}', "labels.zone must be at most 1024 bytes"),
        ("timing = 3", "timing must be a table, not 3"),
        ("[timing]\ndown_after = 4", "timing.down_after must be a string such as"),
        ("[timing]\ndown_after = false", "timing.down_after must be a string such as"),
        ('[timing]\ndown_after = "4"', "timing.down_after must be a duration such as"),
        ('[timing]\ndown_after = "-4s"', "timing.down_after must be a duration such as"),
        ('[timing]\ndown_after = "2s"', "timing.down_after must be at least"),
        ('[timing]\nrestart_grace = "3s"', "timing.restart_grace must be 0 or more than"),
        ('[[service]]\nname = "web"', "unknown key 'service'"),
        ('key_file = "/k"', "unknown key 'key_file'"),
    ],
)
def test_a_bad_value_is_refused_by_name(tmp_path: Path, line: str, complaint: str) -> None:
    """One fault makes one sentence, which names the key and the bound."""
    found = problems(written(tmp_path, line))

    assert len(found) == 1
    assert complaint in found[0]


def test_labels_are_bounded() -> None:
    """64, and not one more."""
    labels = tuple(f"labels.l{number}=x" for number in range(65))

    assert len(load(set=labels[:64]).labels) == 64
    assert problems(set=labels) == ["labels must be at most 64, not 65"]


# --- what does not go together ---


@pytest.mark.parametrize("seed", ["10.0.0.1:7800", "[2001:db8::1]:7800"])
@pytest.mark.parametrize("bind", ["127.0.0.1:7800", "[::1]:7800", "localhost:7800"])
def test_a_loopback_bind_reaches_no_other_host(bind: str, seed: str) -> None:
    """The sentence names the flag to give."""
    (problem,) = problems(bind=bind, join=("127.0.0.1:7900", seed))

    assert seed in problem
    assert "--bind" in problem


def test_seeds_on_loopback_suit_a_loopback_bind() -> None:
    """Names that always mean loopback, names that resolve to it, and names nobody knows."""
    seeds = ("127.0.0.1:1", "[::1]:2", "localhost:3", "a.localhost:4", "nobody.invalid:5")

    assert load(join=seeds).join == seeds


def test_reading_waits_for_no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a name decides nothing it is not looked up; where it does, for a moment alone."""
    over, asked = threading.Event(), []

    def silent(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        over.wait()
        raise OSError

    seeds = ("one.internal:1", "two.internal:2")
    monkeypatch.setattr("socket.getaddrinfo", silent)
    monkeypatch.setattr(config, "LOOKUP_SECONDS", 0.01)

    assert load(bind="10.0.0.5:7800", insecure=True, join=seeds).join == seeds
    assert asked == []
    assert load(join=seeds).join == seeds
    over.set()


@pytest.mark.parametrize("bind", ["0.0.0.0:7800", "[::]:0", "10.0.0.5:7800", "host.invalid:1"])
def test_an_open_bind_must_be_meant(bind: str) -> None:
    """Without a key it needs `--insecure`, and the sentence says so."""
    (problem,) = problems(bind=bind)

    assert "--insecure" in problem
    assert load(bind=bind, insecure=True).bind == bind


def test_peers_elsewhere_cannot_reach_an_advertised_loopback() -> None:
    """Never loopback when a seed is not."""
    (problem,) = problems(
        bind="0.0.0.0:7800", insecure=True, join=("10.0.0.1:1",), advertise="127.0.0.1:7800"
    )

    assert "--advertise" in problem


# --- differences, durations, readers ---


def test_differences_name_the_keys() -> None:
    """What a reload finds changed, timing key by key."""
    before, after = load(), load(log_level="debug", set=("timing.down_after=5s",))

    assert config.differences(before, after) == ["log_level", "timing.down_after"]
    assert config.differences(before, load()) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("0s", 0.0), ("200ms", 0.2), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0)],
)
def test_durations(text: str, seconds: float) -> None:
    """A number and a unit."""
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "1d", "-1s", "1e3s", "１s", "1s ", "nan"])
def test_what_is_no_duration(text: str) -> None:
    """Refused, and the sentence shows what one looks like."""
    with pytest.raises(ValueError, match="must be a duration such as"):
        durations.parse(text)


@given(st.sampled_from(sorted(settings.KEYS)), st.text(string.printable, max_size=40))
def test_any_text_is_read_or_refused(key: str, text: str) -> None:
    """Nothing that is typed breaks the reader itself."""
    with contextlib.suppress(ConfigError):
        load(set=(f"{key}={text}",), insecure=True)
