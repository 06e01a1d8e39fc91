"""Lab tests are skipped only where no lab can be made, for a reason that names what is missing."""

from collections.abc import Generator

import pytest

from tests.lab import booted, netlab


@pytest.fixture(autouse=True)
def lab_can_be_made(request: pytest.FixtureRequest) -> None:
    """Skip the test where the machine has no labs, or no systemd for those that boot it."""
    boots = request.node.path.name.startswith("test_service")
    if lacking := netlab.missing() + (booted.missing() if boots else []):
        pytest.skip(f"missing: {', '.join(lacking)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where namespaces work, a skipped lab test is a failure: it would hide what it is for."""
    report = yield
    if report.skipped and netlab.namespaces_work():
        _, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "")
        report.outcome = "failed"
        report.longrepr = f"a lab test may not be skipped where namespaces work: {reason}"
    return report
