"""`discoctl bundle`: all that helps, nothing that is secret."""

import io
import json
import tarfile
from pathlib import Path

from tests.agent.harness import wait_until
from tests.cli.agents import Agent
from tests.cli.ctl import Ask

SECRET = "only-for-friends"


def test_everything_but_what_is_secret(ask: Ask, agent: Agent, tmp_path: Path) -> None:
    """Each part is there and can be read; no meta value is, nor what a check runs or is told."""
    at = ("--socket", agent.socket)
    check = f"exec:echo {SECRET}"
    ask("register", "web", "--static", "--meta", f"pass={SECRET}", "--check", check, *at)
    ask("track", "room", "alice", "--ttl", "1h", "--meta", f"pass={SECRET}", *at)
    wait_until(lambda: SECRET in str(ask("get", "web", "-o", "json", *at).json["checks"]))
    file = tmp_path / "bundle.tar.gz"
    assert ask("bundle", str(file), "--socket", agent.socket).out == f"{file}\n"

    with tarfile.open(file) as tar:
        parts = {
            Path(member.name).name: (tar.extractfile(member) or io.BytesIO()).read().decode()
            for member in tar.getmembers()
        }
    assert not any(SECRET in text for text in parts.values())
    found = {name: json.loads(text) for name, text in parts.items() if name.endswith(".json")}
    assert found["status.json"]["node"] == "a"
    assert found["settings.json"]["timing"]["down_after"] == 4.0
    (web,) = found["instances.json"]
    assert web["meta"] == {"pass": "(hidden)"}
    assert [check["kind"] for check in web["checks"]] == ["exec"]
    assert {row["state"] for row in found["doctor.json"]} == {"ok"}
    assert found["members.json"][0]["node"] == "a"
    assert found["services.json"][0]["service"] == "web"
    assert found["versions.json"]["agent"]
    assert "discoagent_ready 1" in parts["metrics.txt"]


def test_a_place_that_cannot_be_written(ask: Ask, agent: Agent, tmp_path: Path) -> None:
    """One line that names it."""
    ran = ask("bundle", str(tmp_path / "none" / "b.tar.gz"), "--socket", agent.socket)
    assert ran.code == 7
    assert str(tmp_path / "none" / "b.tar.gz") in ran.err
    assert ran.err.count("\n") == 1
