"""recovered() runs the Mac's own recovery where its diagnosis says that something can help."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.diagnosis import Diagnosis, DiagnosisState
from operations.recovery import recovered
from tests.conftest import RunOperation
from tests.fakes import words

ARGUMENTS: dict[str, Any] = {
    "user": "alice",
    "profile": "default",
    "label": "com.example.colima",
    "log": "/var/log/colima.log",
    "start_seconds": 300,
}
BROKEN = DiagnosisState("found", ("docker", "job", "hard"), plan="found. To recover: restart Docker")
GOOD = DiagnosisState("Docker answers", good=True, plan="Docker answers")
REFUSED = DiagnosisState("it is disabled", refused=True, plan="it is disabled")


@pytest.mark.parametrize("executing", [False, True])
@pytest.mark.parametrize("found", [BROKEN, replace(BROKEN, steps=(), passing=True)])
def test_what_can_be_helped(commands: RunOperation, found: DiagnosisState, executing: bool) -> None:
    asked: list[dict[str, object]] = []

    def answer(**arguments: object) -> DiagnosisState:
        asked.append(arguments)
        return found

    (command,), host = commands(recovered, {Diagnosis: answer}, executing=executing, **ARGUMENTS)
    assert words(command) == ["recover", "com.example.colima"]
    assert command.live  # type: ignore[union-attr]
    assert host.logged == [found.plan]
    assert asked == [ARGUMENTS]


def test_a_docker_that_answers_is_left_alone(commands: RunOperation) -> None:
    done, host = commands(recovered, {Diagnosis: GOOD}, **ARGUMENTS)
    assert (done, host.noops) == ([], ["Docker answers"])


@pytest.mark.parametrize(("found", "why"), [(REFUSED, "it is disabled"), (None, "cannot be read")])
def test_what_is_refused(commands: RunOperation, found: DiagnosisState | None, why: str) -> None:
    (command,), _ = commands(recovered, {Diagnosis: found}, **ARGUMENTS)
    assert words(command)[0] == "refuse"
    assert why in words(command)[1]
    with pytest.raises(OperationError, match=why):
        commands(recovered, {Diagnosis: found}, executing=False, **ARGUMENTS)
