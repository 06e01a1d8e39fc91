"""The systemd unit, as far as it can be judged without booting it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.project import ROOT

UNIT = ROOT / "systemd" / "discoagent.service"
EXECUTABLES = ("/opt/discoagent/bin/discoagent", "/opt/discoagent/bin/discoctl")


def option(name: str) -> list[str]:
    """Return every value that the unit gives an option, in order."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.partition("=")[0] == name]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_has_nothing_to_say_of_it(tmp_path: Path) -> None:
    """`verify` exits 0 on unknown keys too: its output must be empty."""
    text = UNIT.read_text(encoding="utf-8")
    for executable in sorted(EXECUTABLES, reverse=True):
        assert executable in text
        text = text.replace(executable, "/bin/true")
    unit = tmp_path / UNIT.name
    unit.write_text(text, encoding="utf-8")
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_what_libzmq_cannot_live_without() -> None:
    """It aborts the process without these."""
    assert "AF_NETLINK" in option("RestrictAddressFamilies")[0].split()
    assert option("SystemCallFilter")[-1] == "@chown sched_setscheduler"


def test_what_the_agent_cannot_live_without() -> None:
    """It takes its clients' uids from the kernel and reads their start times in /proc."""
    assert option("PrivateUsers") + option("ProtectProc") + option("ProcSubset") == []


def test_a_start_that_must_fail_again_is_not_repeated() -> None:
    """Configuration, permission, taken: these are for somebody to mend."""
    assert option("RestartPreventExitStatus") == ["2 4 6"]
