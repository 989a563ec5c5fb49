"""The gate is passed once after each start, and again where Docker does not answer well."""

from __future__ import annotations

from typing import Any

import pytest

from facts.docker import DockerEngine, EngineState
from facts.launchd import VERIFIED, Milestones
from operations.docker import ready
from tests.conftest import RunOperation
from tests.fakes import words

LABEL = "homebrew.mrcee.colima-pulse"
SOCKET = "/Users/alice/.colima/default/docker.sock"
GOOD = EngineState(SOCKET, None, "28.4.0", {})
UNSEEN = "7 good answers in a row"


@pytest.mark.parametrize(
    ("engine", "notes", "says"),
    [
        (GOOD, {VERIFIED: "5"}, None),
        (GOOD, {}, UNSEEN),
        (GOOD, None, UNSEEN),
        (None, {VERIFIED: "5"}, "the answer cannot be read"),
        (EngineState(SOCKET, "there is no socket"), {}, "there is no socket"),
        (EngineState(SOCKET, "the API answers 503"), {VERIFIED: "5"}, "the API answers 503"),
        # It was not used.
        (
            EngineState(SOCKET, None, "28.4.0", None),
            {VERIFIED: "5"},
            "it answers a ping, and cannot list its containers",
        ),
    ],
)
def test_ready(
    commands: RunOperation, engine: EngineState | None, notes: dict[str, str] | None, says: str | None
) -> None:
    arguments: dict[str, Any] = {"user": "alice", "profile": "default", "label": LABEL, "required": 7}
    got, host = commands(ready, {DockerEngine: engine, Milestones: notes}, **arguments)
    assert [words(each) for each in got] == ([["gate", LABEL]] if says else [])
    assert host.logged == ([f"Wait until Docker is ready: {says}"] if says else [])
    assert host.noops == ([] if says else [f"Docker 28.4.0 answers on {SOCKET}"])
