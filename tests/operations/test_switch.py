"""What a stop and a start on purpose would change, and what only a deploy can start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facts.colima import ProfileState, StraysState
from facts.docker import EngineState
from facts.launchd import JobState
from operations import docker
from operations.switch import start_names, start_refusal, stop_names
from tests.operations.test_launchd import ABSENT, LABEL, RUNNING, STOPPED
from tests.operations.test_preflight import settings
from tests.operations.test_recovery import GOOD
from tests.operations.test_recovery import RUNNING as UP

SETTINGS = settings()
DOWN = replace(UP, status="Stopped")
SILENT = EngineState("/s", False, "there is no socket")
VERIFIED = {docker.VERIFIED: "5"}


def test_a_stop_in_words() -> None:
    names = stop_names(SETTINGS, RUNNING, StraysState(supervised=True))
    assert names == {
        "daemon": f"Stop Colima, and keep it stopped over reboots: LaunchDaemon {LABEL}",
        "strays": None,
    }
    by_hand = StraysState(supervised=False, processes=((7, "/opt/homebrew/bin/colima start"),))
    names = stop_names(SETTINGS, STOPPED, by_hand)
    assert names["daemon"] is None
    assert "colima start (pid 7)" in str(names["strays"])
    assert stop_names(SETTINGS, None, None) == {"daemon": None, "strays": None}


@pytest.mark.parametrize(
    ("job", "profile", "why"),
    [
        (RUNNING, UP, None),
        (STOPPED, DOWN, None),
        (None, UP, "launchd's answer"),
        (STOPPED, None, "Lima's answer"),
        (ABSENT, UP, "never been deployed"),
        (STOPPED, replace(DOWN, unfinished="moving"), "interrupted"),
        (STOPPED, replace(DOWN, provisioned=False), "never come up"),
    ],
)
def test_what_is_not_started(job: JobState | None, profile: ProfileState | None, why: str | None) -> None:
    found = start_refusal(SETTINGS, job, profile)
    assert (found is None) if why is None else (why in str(found))
    assert why is None or "cannot be read" in str(found) or "Run deploy.py" in str(found)


def test_a_start_in_words() -> None:
    names = start_names(SETTINGS, STOPPED, DOWN, SILENT, VERIFIED)
    assert names == {
        "daemon": f"Start Colima: LaunchDaemon {LABEL} is not loaded, disabled",
        "vm": "Bring colima up on qemu (Lima: Stopped)",
        "gates": "See Docker ready after the start: 5 good answers in a row",
    }
    assert set(start_names(SETTINGS, RUNNING, UP, GOOD, VERIFIED).values()) == {None}
    assert "not seen since" in str(start_names(SETTINGS, RUNNING, UP, GOOD, {})["gates"])
