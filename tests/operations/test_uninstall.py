"""The uninstall as an operation: one line, and none where there is nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.launchd import LaunchdJob
from facts.traces import Traces, TracesState
from operations.uninstall import removed
from tests.conftest import RunOperation
from tests.fakes import words
from tests.operations.test_launchd import ABSENT, LABEL, PULSE, RUNNING, TICKED

TRACES = TracesState(("/Library/ColimaPulse", "/var/log/colima.log"))
ARGUMENTS: dict[str, Any] = {"user": "alice", "label": LABEL, "log_path": "/var/log/colima.log"}


def facts(job: Any, pulse: Any, traces: TracesState | None) -> dict[Any, Any]:
    return {LaunchdJob: lambda label, **_: pulse if label == PULSE else job, Traces: traces}


@pytest.mark.parametrize(
    ("job", "pulse", "traces"),
    [
        (RUNNING, TICKED, TRACES),
        (replace(RUNNING, plist_file=None), ABSENT, TracesState(())),
        (replace(ABSENT, disabled=True), ABSENT, TracesState(())),
        (ABSENT, TICKED, TracesState(())),
        (ABSENT, ABSENT, TRACES),
    ],
)
def test_what_there_is_of_it_goes(commands: RunOperation, job: Any, pulse: Any, traces: TracesState) -> None:
    found, host = commands(removed, facts(job, pulse, traces), **ARGUMENTS)
    assert [words(each) for each in found] == [["uninstall", LABEL]]
    assert host.said.startswith("Uninstall Colima Pulse: ")


def test_where_there_is_nothing(commands: RunOperation) -> None:
    found, host = commands(removed, facts(ABSENT, ABSENT, TracesState(())), **ARGUMENTS)
    assert (found, host.noops) == ([], ["there is nothing of it"])


@pytest.mark.parametrize(
    ("job", "pulse", "traces"), [(None, TICKED, TRACES), (RUNNING, None, TRACES), (RUNNING, TICKED, None)]
)
def test_what_cannot_be_read_is_not_removed(
    commands: RunOperation, job: Any, pulse: Any, traces: Any
) -> None:
    found, _ = commands(removed, facts(job, pulse, traces), **ARGUMENTS)
    assert [words(each)[0] for each in found] == ["refuse"]
    with pytest.raises(OperationError):
        commands(removed, facts(job, pulse, traces), executing=False, **ARGUMENTS)
