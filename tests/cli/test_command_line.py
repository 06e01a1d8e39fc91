"""The command line itself: options, help, errors and exit codes, with no agent anywhere."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import zmq

from discoagent.cli import COMMANDS, main
from discoagent.cli.command import Verb
from tests.cli.ctl import ARGV, Ask, ctl, environment

PROMISED = {
    *("list", "services", "get", "resolve", "register", "run", "update", "deregister", "ttl"),
    *("renew", "maint", "drain", "presence", "track", "retrack", "untrack", "watch", "wait"),
    *("members", "join", "leave", "forget", "status", "ping", "converged", "why", "history", "at"),
    *("monitor", "log-level", "metrics", "reload", "doctor", "bundle", "keygen", "keys", "render"),
    *("sd", "dev", "sim", "completion", "version", "install-units", "uninstall-units"),
}
NOT_YET = {
    "run": ("--ttl", "--pid", "--static"),
    "list": ("--near",),
}


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[str]:
    """Return a path where somebody listens who never answers."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.bind(f"ipc://{tmp_path}/mute.sock")
        yield str(tmp_path / "mute.sock")


def command(name: str) -> Verb:
    """Return a sub-command."""
    found = main.get_command(click.Context(main), name)
    assert isinstance(found, Verb)
    return found


def test_the_commands_are_those_of_the_contract() -> None:
    """As far as they are built, and no others."""
    assert set(COMMANDS) <= PROMISED


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name: str, ask: Ask) -> None:
    """And shows the global options apart from its own."""
    answer = ask(name, "--help")

    assert answer.code == 0
    assert f"Usage: discoctl {name}" in answer.out
    assert (
        f"Example:\n  discoctl {name}" in answer.out or f"discoctl {name}" in command(name).example
    )
    assert "Global options, before or after the command:" in answer.out
    assert "--timeout DURATION" in answer.out


def test_the_help_names_every_command(ask: Ask) -> None:
    """By what they are for, each on a line of its own, and with the exit codes."""
    answer = ask("--help")

    assert answer.code == 0
    assert all(f"  {name} " in answer.out for name in COMMANDS)
    assert not any(line.endswith("...") for line in answer.out.splitlines()[1:])
    assert all(len(command(name).get_short_help_str(100)) <= 60 for name in COMMANDS)
    assert "124 timeout" in answer.out


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_what_is_not_built_does_not_exist(name: str, ask: Ask) -> None:
    """Exit code 2, and not in the help."""
    shown = ask(name, "--help").out
    for option in NOT_YET[name]:
        assert f"{option} " not in shown
        assert ask(name, "x", option, "y").code == 2


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["lits"], "no such command: lits; did you mean list?"),
        (["list", "--tga", "x"], "no such option: --tga; did you mean --tag? (see discoctl list"),
        (["--tiemout", "1s", "list"], "no such option: --tiemout; did you mean --timeout?"),
        (["list", "-x"], "no such option: -x (see discoctl list --help)"),
        (["list", "-o", "yaml"], "no such format: 'yaml'; there are table, wide, json"),
        (["members", "-o", "env"], "no such format: 'env'; there are table, wide, json"),
        (["list", "-o", "url"], "no such format: 'url'"),
        (["list", "--timeout", "5"], "must be a duration such as"),
        (["list", "--timeout", "0s"], "must be longer than 0"),
        (["list", "--sort", "colour"], "no such key: 'colour'; there are service, id"),
        (["list", "--sort", ""], "no such key: ''"),
        (["list", "--socket", ""], "socket: an empty path"),
        (["list", "--limit", "0"], "0 is not in the range x>=1"),
        (["list", "--limit", "x"], "'x' is not a valid integer (see"),
        (["get"], "missing argument 'ID'"),
        (["get", "a", "b"], "unexpected extra argument"),
        (["resolve", "web", "--prefer", "a"], "'a' is not of the form k=v"),
        (["resolve"], "missing argument 'SERVICE'"),
        (["register", "web"], "exactly one of --pid, --ttl and --static"),
        (
            ["register", "web", "--ttl", "5s", "--static"],
            "exactly one of --pid, --ttl and --static",
        ),
        (["register", "web", "--static", "--port", "70000"], "'--port': 70000 is not in the range"),
        (["register", "web", "--static", "--meta", "zone"], "'zone' is not of the form k=v"),
        (["update", "web-1"], "nothing to change"),
        (["update", "web-1", "--set", "=x"], "'=x' is not of the form k=v"),
        (["wait", "web", "--gone", "--count", "2"], "--gone and --count exclude each other"),
        (["watch", "--count", "-1"], "-1 is not in the range x>=0"),
        (["register", "web", "--static", "--wait-seen", "0"], "'0' is neither all nor a number"),
        (["converged", "--wait"], "requires an argument"),
        (["completion"], "missing argument 'SHELL'"),
        (["join"], "missing argument 'HOST:PORT...'"),
        (["run", "web", "true"], "unexpected extra argument"),
        (["run", "web"], "give the command to run after --"),
        (["run", "web", "--"], "give the command to run after --"),
        (["run", "bad name", "--", "true"], "service: must be 1 to 128 of the characters"),
        (["run", "web", "--address", "a:1", "--", "true"], "address: must be a host name or an IP"),
        (["run", "web", "--meta", f"k={'x' * 1025}", "--", "true"], "at most 1024 bytes"),
        (["run", "web", "--tag", "a\tb", "--", "true"], "tags: must be 1 to 256 bytes"),
        (["dev", "17"], "17 is not in the range 1<=x<=16"),
        (["dev", "2", "--"], "give the command to run after --"),
        (["-q"], ""),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_use_is_one_line_and_2(args: list[str], sentence: str, ask: Ask) -> None:
    """It says what is wrong, and names what was probably meant."""
    answer = ask(*args)

    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err
    if sentence:
        assert answer.err.startswith("discoctl: ")
        assert len(answer.err.splitlines()) == 1


def test_a_wrong_filter_is_pointed_at(nobody: str, ask: Ask) -> None:
    """Before an agent is asked: what was written, and a caret below where it goes wrong."""
    wrong = ask("list", "-f", "\"木\" in tags and\tzone == 'a'", "--socket", nobody)
    late = ask("list", "-f", f"{'port > 1 and ' * 20}port = 1")
    as_json = ask("watch", "-f", "port =", "-o", "json", "--socket", nobody)
    meant = 'meta.zone, or the text "zone"'

    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.splitlines() == [
        f"discoctl: filter: column 17: no such field: zone; did you mean {meant}?",
        "  \"木\" in tags and zone == 'a'",
        "                   ^",
    ]
    _, shown, caret = late.err.splitlines()
    assert shown[caret.index("^")] == "="
    assert len(shown) < 80
    assert (as_json.code, as_json.error["field"]) == (2, "filter")
    assert ask("list", "-f", "port =", "-q") == (2, "", "")


def test_errors_as_json(ask: Ask, nobody: str) -> None:
    """With the code, a word, a sentence, and the field where there is one."""
    wrong = ask("register", "web", "--static", "--port", "0", "-o", "json")
    unknown = ask("-ojsonl", "list", "--bogus")
    away = ask("list", "-o", "json", "--socket", nobody)

    assert (wrong.code, wrong.error["code"], wrong.error["field"]) == (2, 2, "port")
    assert (unknown.error["kind"], unknown.error["field"]) == ("usage", "bogus")
    assert (away.code, away.out) == (3, "")
    assert (away.error["code"], away.error["kind"], away.error["field"]) == (3, "unavailable", None)


@pytest.mark.parametrize(
    "args",
    [
        ["list"],
        ["list", "web"],
        ["services"],
        ["resolve", "web"],
        ["resolve", "web", "--wait", "5s"],
        ["get", "web-1"],
        ["register", "web", "--static"],
        ["update", "web-1", "--port", "1"],
        ["deregister", "web-1"],
        ["renew", "web-1"],
        ["watch"],
        ["wait", "web"],
        ["members"],
        ["join", "127.0.0.1:1"],
        ["leave"],
        ["status"],
        ["status", "--wait-ready"],
        ["ping"],
        ["converged"],
        ["converged", "--wait", "1s"],
        ["register", "web", "--static", "--wait-seen", "all"],
        ["run", "web", "--require", "--", "false"],
    ],
    ids=" ".join,
)
def test_nobody_listens(args: list[str], nobody: str, ask: Ask) -> None:
    """One line that names the path, exit code 3, at once; nothing is started."""
    answer = ask(args[0], "--socket", nobody, *args[1:])

    assert (answer.code, answer.out) == (3, "")
    assert nobody in answer.err
    assert len(answer.err.splitlines()) == 1


def test_the_error_names_every_path_tried(tmp_path: Path) -> None:
    """The system's, the user's, and the one of last resort."""
    answer = ctl("ping", env={"XDG_RUNTIME_DIR": str(tmp_path)})

    if answer.code == 3:  # unless an agent runs on this machine
        for path in ("/run/discoagent/", f"{tmp_path}/discoagent/", "/tmp/discoagent-"):
            assert f"{path}" in answer.err


def test_somebody_listens_and_does_not_answer(
    mute: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """124, when the flag's time is over or the variable's; the flag wins."""
    asked = time.monotonic()
    assert ask("ping", "--socket", mute, "--timeout", "100ms").code == 124
    monkeypatch.setenv("DISCO_TIMEOUT", "150ms")
    assert ask("list", "--socket", mute).code == 124
    monkeypatch.setenv("DISCO_TIMEOUT", "1h")
    assert ask("status", "--socket", mute, "--timeout", "100ms").code == 124
    assert time.monotonic() - asked > 0.3


def test_an_option_after_the_command_wins(
    mute: str, nobody: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the one before it, which wins over the environment."""
    monkeypatch.setenv("DISCO_SOCKET", mute)
    monkeypatch.setenv("DISCO_TIMEOUT", "100ms")

    assert ask("ping").code == 124
    assert ask("--socket", nobody, "ping").code == 3
    assert ask("--socket", mute, "ping", "--socket", nobody).code == 3
    assert ask("--socket", nobody, "ping", "--socket", mute).code == 124


def test_quiet_says_nothing(nobody: str, ask: Ask) -> None:
    """Before or after the command, on a wrong command line too: only the code."""
    for args in (["-q", "list"], ["list", "-q"], ["list", "--quiet", "--bogus"]):
        answer = ask(*args, "--socket", nobody)

        assert answer.code in (2, 3)
        assert (answer.out, answer.err) == ("", "")


def test_the_environment_s_format_is_for_those_who_know_it(
    nobody: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`DISCO_OUTPUT=env` is no error for `members`; a word that no command knows is."""
    monkeypatch.setenv("DISCO_OUTPUT", "env")
    assert ask("members", "--socket", nobody).code == 3
    monkeypatch.setenv("DISCO_OUTPUT", "yaml")
    assert ask("members", "--socket", nobody).code == 2


def test_version_needs_no_agent(nobody: str, ask: Ask) -> None:
    """`agent` is null then, and the code 0."""
    found = ask("version", "-o", "json", "--socket", nobody)

    assert found.code == 0
    assert found.json["agent"] is None
    assert set(found.json) == {"version", "wire", "api", "python", "zmq", "pyzmq", "agent"}
    assert ask("--version").out.startswith("discoctl ")


def test_nothing_asked_is_help_and_2(ask: Ask) -> None:
    """On stderr: it is no data."""
    answer = ask()

    assert (answer.code, answer.out) == (2, "")
    assert "Usage: discoctl" in answer.err


def test_a_reader_that_went_away_is_no_error() -> None:
    """No traceback, no word."""
    with subprocess.Popen(
        [*ARGV, "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (141, b"")


def test_a_full_disk_is_an_error() -> None:
    """What could not be written is not passed over."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*ARGV, "version"], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
        )

    assert ran.returncode == 7
    assert ran.stderr.startswith(b"discoctl: cannot write")
    assert len(ran.stderr.splitlines()) == 1


def test_a_query_loads_no_more_than_it_needs() -> None:
    """`discoctl list` starts as quickly as its libraries: no command but its own is loaded."""
    script = (
        "import sys\n"
        "from discoagent.cli import main\n"
        "main.main(['list', '--socket', '/nowhere/a.sock', '-q'], standalone_mode=False)\n"
        "import discoagent.cli.command\n"
        "print(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    loaded = set(ran.stdout.split())

    assert "discoagent.cli.reading" in loaded
    assert not loaded & {
        *("asyncio", "ctypes", "subprocess", "logging.handlers", "discoagent.wire", "tempfile"),
        *("discoagent.filters", "discoagent.client.choice", "click.shell_completion"),
        *(f"discoagent.cli.{name}" for name in ("run", "dev", "child", "watching", "cluster")),
    }


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_standard_streams(closed: str) -> None:
    """The code is the same, and nothing breaks."""
    script = f'exec "$@" {closed}'
    command = ["sh", "-c", script, "sh", *ARGV]
    codes = [
        subprocess.run(
            [*command, *words], env=environment(), capture_output=True, check=False
        ).returncode
        for words in (["version"], ["--socket", "/nonexistent", "list"])
    ]

    assert codes == [0, 3]
