"""A start is followed where there is one to follow, and left alone where the instance runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.colima import ColimaProfile, ProfileState
from facts.launchd import FIRST_START, Milestones
from operations.colima import started
from tests.conftest import RunOperation
from tests.fakes import words

LABEL = "homebrew.mrcee.colima-pulse"
ARGUMENTS: dict[str, Any] = {"user": "alice", "profile": "default", "label": LABEL}
RUNNING = ProfileState(
    home="/Users/alice",
    instance="colima",
    state_dir=True,
    other_dir=None,
    data_disk=True,
    provisioned=True,
    status="Running",
    vm_type="qemu",
    runtime="docker",
)
NO_INSTANCE = replace(RUNNING, status=None, vm_type=None, provisioned=False, state_dir=False)


@pytest.mark.parametrize(
    ("profile", "notes", "says"),
    [
        (RUNNING, {"verified": "5"}, None),
        (replace(RUNNING, status="Stopped"), {}, "Bring profile default up on qemu (Lima: Stopped)"),
        (NO_INSTANCE, {}, "Bring profile default up on qemu (Lima: no instance)"),
        (replace(RUNNING, vm_type="vz"), {}, "Bring profile default up on qemu (Lima: Running)"),
        (None, {}, "Bring profile default up on qemu (Lima: unknown)"),
        (RUNNING, None, "Bring profile default up on qemu (Lima: Running)"),
        # A first start that a deploy did not follow to its end.
        (RUNNING, {FIRST_START: ""}, "Make profile default by the daemon's first start"),
        (NO_INSTANCE, {FIRST_START: ""}, "Make profile default by the daemon's first start"),
    ],
)
def test_started(
    commands: RunOperation, profile: ProfileState | None, notes: dict[str, str] | None, says: str | None
) -> None:
    got, host = commands(started, {ColimaProfile: profile, Milestones: notes}, **ARGUMENTS)
    assert [words(each) for each in got] == ([["follow-start", LABEL]] if says else [])
    assert host.logged == ([says] if says else [])
    assert host.noops == ([] if says else ["profile default runs on qemu"])


def test_a_mac_that_says_nothing(commands: RunOperation) -> None:
    facts = {ColimaProfile: None, Milestones: None}
    with pytest.raises(OperationError, match="profile default of alice cannot be read"):
        commands(started, facts, executing=False, **ARGUMENTS)
    got, _ = commands(started, facts, **ARGUMENTS)
    assert [words(each)[0] for each in got] == ["refuse"]
