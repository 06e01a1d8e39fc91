"""`discoctl install-units` and `uninstall-units`, below a root that is no host's."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from discoagent.cli import installing
from discoagent.errors import DiscoError
from tests.agent.harness import scratch_directory
from tests.agent.users import as_user
from tests.cli.ctl import Ask
from tests.house.project import ROOT

UNITS = ROOT / "systemd"
ETC = Path("etc/systemd/system")
UNIT = ETC / "discoagent.service"
DROP_INS = ETC / "discoagent.service.d"
OWNERS = "10-owners.conf"


def tree(root: Path) -> dict[str, str]:
    """Return the text of every file below a root, by its path."""
    return {
        str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()
    }


def put(monkeypatch: pytest.MonkeyPatch, programs: str) -> None:
    """Let the programs be in another directory."""
    monkeypatch.setattr(sysconfig, "get_path", lambda _: programs)


def test_whatever_there_is_has_its_place(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units, user and directories; a drop-in where it is asked for; each is told."""
    put(monkeypatch, "/opt/discoagent/bin")
    ran = ask("install-units", "--root", str(tmp_path), "-o", "json")
    found = tree(tmp_path)

    assert ran.code == 0
    assert {(it["action"], it["target"]) for it in ran.json} == {
        ("create", str(tmp_path / name)) for name in found
    }
    assert set(found) >= {str(UNIT), "etc/sysusers.d/discoagent.conf"}
    services = {str(ETC / path.name) for path in UNITS.glob("*.service")}
    assert services == {name for name in found if name.endswith(".service")}
    assert not any(name.startswith(str(DROP_INS)) for name in found)
    assert "systemctl enable --now discoagent" in ran.err

    ask("install-units", "--root", str(tmp_path), "--drop-in", OWNERS)
    assert tree(tmp_path)[str(DROP_INS / OWNERS)] == (UNITS / OWNERS).read_text()


def test_it_names_the_programs_where_they_are(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where this `discoctl` is, seen from the root's host; not where the unit cannot see it."""
    for programs in ("/usr/local/bin", str(tmp_path / "usr/local/bin")):
        put(monkeypatch, programs)
        ask("install-units", "--root", str(tmp_path))
        assert "ExecStart=/usr/local/bin/discoagent\n" in (tmp_path / UNIT).read_text()

    put(monkeypatch, "/home/eve/bin")
    ran = ask("install-units", "--root", str(tmp_path), "--dry-run")
    assert "the unit cannot see /home/eve/bin" in ran.err


def test_a_second_time_only_what_differs_is_touched(ask: Ask, tmp_path: Path) -> None:
    """A drop-in of ours that is in force is kept so; others' files are not looked at."""
    ask("install-units", "--root", str(tmp_path), "--drop-in", OWNERS)
    first = tree(tmp_path)
    (tmp_path / UNIT).write_text("[Service]\n")
    (tmp_path / DROP_INS / OWNERS).write_text("[Service]\n")
    (tmp_path / DROP_INS / "mine.conf").write_text("[Service]\n")

    plan = ask("install-units", "--root", str(tmp_path), "--dry-run", "-o", "json").json
    assert (tmp_path / UNIT).read_text() == "[Service]\n"
    done = ask("install-units", "--root", str(tmp_path), "-o", "json").json
    assert done == plan
    assert {it["target"] for it in done if it["action"] == "update"} == {
        str(tmp_path / UNIT),
        str(tmp_path / DROP_INS / OWNERS),
    }
    assert tree(tmp_path) == {**first, str(DROP_INS / "mine.conf"): "[Service]\n"}


def test_what_was_put_in_place_is_taken_away(ask: Ask, tmp_path: Path) -> None:
    """And nothing else; then there is nothing to do."""
    mine = tmp_path / DROP_INS / "mine.conf"
    ask("install-units", "--root", str(tmp_path), "--drop-in", OWNERS)
    mine.write_text("[Service]\n")
    enabled = {
        tmp_path / ETC / "multi-user.target.wants" / "discoagent.service",
        tmp_path / ETC / "web.service.wants" / "discoagent-register@web.service",
    }
    for link in enabled:
        link.parent.mkdir()
        link.symlink_to(f"/{UNIT}")
    before = tree(tmp_path)

    plan = ask("uninstall-units", "--root", str(tmp_path), "--dry-run", "-o", "json").json
    assert tree(tmp_path) == before
    files = {str(tmp_path / name) for name in before} | set(map(str, enabled))
    assert {it["target"] for it in plan} == files - {str(mine)}
    assert ask("uninstall-units", "--root", str(tmp_path), "-o", "json").json == plan
    assert tree(tmp_path) == {str(DROP_INS / "mine.conf"): "[Service]\n"}
    assert [path.name for path in (tmp_path / ETC).iterdir()] == [DROP_INS.name]

    again = ask("uninstall-units", "--root", str(tmp_path))
    assert (again.code, again.out) == (0, "")
    assert "nothing is installed there" in again.err


def test_a_drop_in_that_is_not_there(ask: Ask, tmp_path: Path) -> None:
    """The sentence names those that are; nothing is written."""
    ran = ask("install-units", "--root", str(tmp_path), "--drop-in", "owners")
    assert ran.code == 2
    assert OWNERS in ran.err
    assert tree(tmp_path) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_a_root_that_is_not_ours(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """4, and what to do."""
    with scratch_directory() as directory:  # the project may be where nobody else can read it
        copies = [Path(shutil.copy(path, directory)) for path in installing.shipped()]
        monkeypatch.setattr(installing, "shipped", lambda: copies)
        ran = as_user(65_534, lambda: ask("install-units", "--root", "/proc/self/root"))

    assert ran.code == 4
    assert "run it as root" in ran.err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["no-such-command"], "there is no no-such-command here"),
        (["sh", "-c", "echo out of order >&2; exit 3"], "failed with 3: out of order"),
    ],
)
def test_a_command_that_comes_to_nothing(command: list[str], said: str) -> None:
    """The sentence says which, and what it said itself."""
    with pytest.raises(DiscoError, match=said):
        installing._running(command).take()


def test_the_wheel_has_them(tmp_path: Path) -> None:
    """All of them, beside the package's modules."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {
            Path(name).name for name in archive.namelist() if name.startswith("discoagent/units/")
        }
    assert names == {path.name for path in UNITS.iterdir()}
