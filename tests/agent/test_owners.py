"""Owners: what the kernel tells of processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from discoagent.core.entry import Entry, Kind
from discoagent.instance import Owner, unpack_owner
from discoagent.local.host import owners
from discoagent.local.host.owners import Asker
from tests.agent.users import as_user


def test_peer_address() -> None:
    """Credentials are the last three fields, whatever the host part is."""
    assert Asker.from_peer_address("localhost:1000:1001:812") == Asker(1000, 1001, 812)
    assert Asker.from_peer_address("a:b:0:0:0") == Asker(0, 0, 0)


def test_facts_of_this_process() -> None:
    """A living process is known by start, user and executable."""
    facts = owners.facts(os.getpid())

    assert facts is not None
    assert facts.pid == os.getpid()
    assert facts.uid == os.getuid()
    assert facts.exe == os.path.realpath(sys.executable)
    assert facts.start == owners.start_time(os.getpid())
    assert owners.in_our_pid_namespace(os.getpid())


def test_an_ended_process_has_none() -> None:
    """Neither a zombie nor a process that is gone lives."""
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert owners.start_time(child.pid) is None
    assert owners.facts(child.pid) is None

    child.wait()

    assert owners.facts(child.pid) is None
    assert owners.executable(child.pid) is None
    assert owners.unit(child.pid) is None
    assert not owners.in_our_pid_namespace(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a pid namespace")
def test_a_process_in_another_pid_namespace() -> None:
    """Seen also by an agent that may read nothing else of it."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo up; cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None
        assert outer.stdout.readline() == b"up\n"
        (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()

        assert as_user(4_001, lambda: owners.in_our_pid_namespace(outer.pid))
        assert not as_user(4_001, lambda: owners.in_our_pid_namespace(int(inner)))


def test_unit_out_of_control_groups() -> None:
    """The innermost unit counts; slices are none."""
    cases = {
        "0::/system.slice/web.service\n": "web.service",
        "0::/user.slice/user-0.slice/user@0.service/app.slice/x.service\n": "x.service",
        "0::/system.slice/web.service/payload\n": "web.service",
        "0::/user.slice/user-0.slice/session-3.scope\n": "session-3.scope",
        "0::/system.slice/_x.service\n": "x.service",
        "0::/system.slice\n": None,
        "0::/\n": None,
        "12:cpu:/a.service\n1:name=systemd:/system.slice/b.service\n": "b.service",
        "": None,
        "nonsense\n": None,
    }

    assert {text: owners.unit_of(text) for text in cases} == cases


def test_identity() -> None:
    """The same process is the same owner; for leases and static entries the user is."""
    one = owners.ProcessFacts(812, 5, 1000, "/bin/a", None)
    other = one._replace(start=6)
    moved = one._replace(exe="/bin/b")

    assert owners.same_identity(
        owners.process_owner(one, "boot"), owners.process_owner(moved, "boot")
    )
    assert not owners.same_identity(
        owners.process_owner(one, "boot"), owners.process_owner(other, "boot")
    )
    assert not owners.same_identity(
        owners.process_owner(one, "boot"), owners.process_owner(one, "another boot")
    )
    lease = owners.user_owner("lease", Owner(1000, 1))
    assert owners.same_identity(lease, owners.user_owner("lease", Owner(1000, 2)))
    assert not owners.same_identity(lease, owners.user_owner("static", Owner(1000, 1)))
    assert not owners.same_identity(lease, owners.user_owner("lease", Owner(1001, 1)))


def test_owner_is_told_whole() -> None:
    """What is packed is what users see."""
    facts = owners.ProcessFacts(812, 5, 1000, "/bin/a", "a.service")
    entry = Entry(Kind.SERVICE, "web", "web-1", owners.process_owner(facts, "boot"), b"")

    assert unpack_owner(entry.owner) == Owner(1000, 812, "/bin/a", "a.service")
    assert owners.describe(unpack_owner(entry.owner)) == "uid 1000 (pid 812, /bin/a)"


def test_who_may_change() -> None:
    """The owner's user, the agent's own, and root."""
    assert owners.may_change(Asker(1000, 0, 1), 1000, 99)
    assert owners.may_change(Asker(99, 0, 1), 1000, 99)
    assert owners.may_change(Asker(0, 0, 1), 1000, 99)
    assert not owners.may_change(Asker(1001, 0, 1), 1000, 99)
