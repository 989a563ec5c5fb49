"""What all tests share: operations against a host with given facts; and no test skipped in CI."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host, ctx_state

from operations.util import ahead
from operations.util import commands as said
from tests.fakes import FakeHost, fake_state


def pytest_addoption(parser: pytest.Parser) -> None:
    """For tests/acceptance and tests/contracts, which take any Mac."""
    parser.addoption("--host", help="@local or @ssh/NAME; without it they boot a stand-in Mac")
    parser.addoption("--yes-really", action="store_true", help="change that Mac")
    parser.addoption("--keep", type=Path, metavar="DIR", help="keep what the Mac said, there")


class RunOperation(Protocol):
    def __call__(
        self,
        operation: Any,
        facts: dict[Any, Any],
        *,
        executing: bool = ...,
        diff: bool = ...,
        **arguments: Any,
    ) -> tuple[list[PyinfraCommand | str], FakeHost]: ...


@pytest.fixture
def commands() -> Iterator[RunOperation]:
    """Generate an operation's commands from given facts, without running them: its commands, and the host."""

    def generate(
        operation: Any,
        facts: dict[Any, Any],
        *,
        executing: bool = True,
        diff: bool = False,
        **arguments: Any,
    ) -> tuple[list[PyinfraCommand | str], FakeHost]:
        host = FakeHost(facts)
        said._explained.clear()
        # What another test has asked ahead counts for seconds.
        ahead._answers.clear()
        with ctx_state.use(fake_state(executing=executing, diff=diff)), ctx_host.use(host):
            return list(operation._inner(**arguments)), host

    yield generate
    ctx_host.reset()
    ctx_state.reset()


def _not_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure where CI=true: there everything a test needs has to be present.

    But for the stand-in Mac, which needs Linux.
    """
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        if sys.platform != "linux" and "stand-in Mac" in str(reason):
            return
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _not_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _not_in_ci(report)
    return report
