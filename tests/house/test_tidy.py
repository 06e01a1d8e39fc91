"""The rules of the house that a machine can check."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.house.project import ROOT, python_files, tree

LINES_MAX = 400
ALL_PYTHON = python_files("discoagent", "tests", "examples")
# The brackets keep this file from finding itself.
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b|pragma: no[ ]cover|unittest[.]mock")


def named(path: Path) -> str:
    """Return a test's id: the path within the project."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", ALL_PYTHON, ids=named)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    """No file is longer than the hard limit."""
    lines = path.read_text(encoding="utf-8").count("\n")

    assert lines <= LINES_MAX


@pytest.mark.parametrize("path", ALL_PYTHON, ids=named)
def test_a_module_says_what_it_is(path: Path) -> None:
    """Every module that holds anything begins with a docstring."""
    module = tree(path)

    assert not module.body or ast.get_docstring(module)


@pytest.mark.parametrize("path", ALL_PYTHON, ids=named)
def test_nothing_is_unfinished_or_excused(path: Path) -> None:
    """No notes to self, no lines hidden from the coverage, no mocks of our own classes."""
    assert UNFINISHED.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", python_files("tests"), ids=named)
def test_tests_wait_for_events(path: Path) -> None:
    """No test sleeps."""
    slept = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]

    assert slept == []


@pytest.mark.parametrize("path", python_files("discoagent"), ids=named)
def test_no_drawer_for_odds_and_ends(path: Path) -> None:
    """A module is named for what it holds."""
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def test_the_readme_has_one_command_for_each_job() -> None:
    """One line sets up and runs the main job, one sets up and runs the tests."""
    commands = re.findall(r"^python3 -m venv .*$", readme(), re.MULTILINE)
    main_job = [command for command in commands if command.endswith("discoctl dev")]
    tests = [command for command in commands if "pytest" in command]

    assert len(main_job) == 1
    assert len(tests) == 1
    assert "--group dev" in tests[0]
    assert "dev" in project()["dependency-groups"]


def test_ci_runs_the_readme_s_own_test_command() -> None:
    """The command is taken out of the README, not written a second time."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert "README.md" in script
    assert "--group dev" not in script


def test_run_time_dependencies_are_three() -> None:
    """Nothing but click, msgpack and pyzmq is needed to run."""
    names = {re.split(r"[<>=~! ]", each)[0] for each in project()["project"]["dependencies"]}

    assert names == {"click", "msgpack", "pyzmq"}


def readme() -> str:
    """Return the text of the README."""
    return (ROOT / "README.md").read_text(encoding="utf-8")


def project() -> dict[str, dict[str, list[str]]]:
    """Return pyproject.toml, as far as it is asked for here."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)
