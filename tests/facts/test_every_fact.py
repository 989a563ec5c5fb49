"""What holds for every fact: quoted arguments, JSON, and an answer cut off is never taken for one."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from pyinfra.api import FactBase, FactProcessError

from facts.backup import Backups, ProfileContents
from facts.colima import ColimaProfile, Guest, Log, Program, Strays
from facts.docker import DockerEngine
from facts.launchd import LaunchdJob, Milestones, milestones_path
from facts.mac import Homebrew, Mac, ProcessAge, User
from facts.power import Power
from facts.pulse import Pulse
from facts.rivals import Definitions
from facts.traces import Traces
from tests.facts import (
    test_backup,
    test_colima,
    test_docker,
    test_launchd,
    test_mac,
    test_power,
    test_pulse,
    test_rivals,
)
from tests.fakes import words

NASTY = "a b; $(touch /tmp/x) `id` 'q' \"d\" \\ \n*"
FILES = {
    "owner": (0, "Regular File 0 0 644"),
    "plist": (0, "<plist/>"),
    "owner-launch": (0, "Regular File 0 0 755"),
    "launch": (0, "#!/bin/sh"),
}
ANSWERS: list[tuple[type[FactBase[Any]], list[str]]] = [
    (Mac, test_mac.MINI),
    (Homebrew, test_mac.BREW),
    (User, ["status=0", "NFSHomeDirectory: /x", "PrimaryGroupID: 20", "UniqueID: 5", "present=yes", "end"]),
    (User, ["status=56", "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)", "present=no", "end"]),
    (LaunchdJob, test_launchd.answer(test_launchd.RUNNING, files=FILES)),
    (LaunchdJob, test_launchd.answer(test_launchd.ABSENT, status=113)),
    (Definitions, test_rivals.RIVALS),
    (Milestones, ["log-offset=10", "verified=5", "end"]),
    (ColimaProfile, test_colima.answer(test_colima.RUNNING, test_colima.BROKEN)),
    (ColimaProfile, test_colima.answer(lima="absent")),
    (Guest, ["answers=yes", "docker=active", "containerd=active", "end"]),
    (Guest, ["answers=yes", "docker=active", "uptime=9", "entered=1", "disk=3 2 1", "end"]),
    (Program, ["now=1000", "elapsed=01:05", "link=../Cellar/colima/0.10.3/bin/colima", "linked=900", "end"]),
    (ProcessAge, ["elapsed=   01:05", "end"]),
    (Log, ["size=10", "|a", "|b", "", "end"]),
    (Strays, ["launchctl=0", "end"]),
    (Strays, test_colima.STRAYS),
    (DockerEngine, test_docker.good(test_docker.WEB, test_docker.OTHER)),
    (DockerEngine, test_docker.answer("503")),
    (ProfileContents, test_backup.CONTENTS),
    (Backups, test_backup.UNITS),
    (Power, test_power.PORTABLE),
    (Traces, ["trace=/Library/ColimaPulse", "other=com.example.x", "unfinished=alice web", "end"]),
    (Pulse, test_pulse.answer(misses=4, said="vm", last="why")),
]
IDS = [f"{fact.__name__}-{len(output)}" for fact, output in ANSWERS]


@pytest.mark.parametrize(
    ("fact", "arguments", "told"),
    [
        (User, {"user": NASTY}, ["observe-user", NASTY]),
        (Definitions, {"user": NASTY}, ["rivals", NASTY]),
        (ColimaProfile, {"user": NASTY, "profile": NASTY}, ["observe-profile", NASTY, NASTY]),
        (
            Strays,
            {"user": NASTY, "profile": NASTY, "label": NASTY},
            ["observe-strays", NASTY, NASTY, NASTY],
        ),
        (DockerEngine, {"user": NASTY, "profile": NASTY}, ["observe-docker", NASTY, NASTY]),
        (
            ProfileContents,
            {"user": NASTY, "profile": NASTY, "backup": NASTY, "other": NASTY},
            ["observe-contents", NASTY, NASTY, NASTY, NASTY],
        ),
        (Backups, {"user": NASTY, "backup": NASTY}, ["observe-backups", NASTY, NASTY]),
        (Guest, {"user": NASTY, "profile": NASTY}, ["observe-guest", NASTY, NASTY]),
        (ProcessAge, {"pid": 312}, ["observe-process", "312"]),
        (Program, {"pid": 312}, ["observe-program", "312"]),
        (Program, {}, ["observe-program", "0"]),
        (Log, {"path": NASTY, "offset": 7}, ["observe-log", NASTY, "7"]),
        (Pulse, {"label": NASTY}, ["observe-pulse", NASTY]),
        (
            Traces,
            {"user": NASTY, "label": NASTY, "log_path": NASTY},
            ["observe-traces", NASTY, NASTY, NASTY],
        ),
        (Milestones, {"label": NASTY}, ["observe-milestones", milestones_path(NASTY)]),
        (
            LaunchdJob,
            {"label": NASTY},
            ["observe-job", NASTY, f"/Library/LaunchDaemons/{NASTY}.plist", "/Library/ColimaPulse/launch"],
        ),
    ],
)
def test_arguments_are_quoted(
    fact: type[FactBase[Any]], arguments: dict[str, object], told: list[str]
) -> None:
    assert words(fact().command(**arguments)) == told


@pytest.mark.parametrize(("fact", "output"), ANSWERS, ids=IDS)
def test_json(fact: type[FactBase[Any]], output: list[str]) -> None:
    """As `pyinfra HOST fact ... --json` encodes what is not JSON by itself: by its to_json()."""
    found = fact().process(output)
    assert json.loads(json.dumps(found, default=lambda each: each.to_json()))


@pytest.mark.parametrize(("fact", "output"), ANSWERS, ids=IDS)
def test_an_answer_cut_off_is_none(fact: type[FactBase[Any]], output: list[str]) -> None:
    for end in range(len(output)):
        with pytest.raises(FactProcessError):
            fact().process(output[:end])


@pytest.mark.parametrize(("fact", "output"), ANSWERS, ids=IDS)
def test_a_lost_line_raises_nothing_else(fact: type[FactBase[Any]], output: list[str]) -> None:
    """Any other exception would end the run for every host."""
    for lost in range(len(output)):
        with contextlib.suppress(FactProcessError):
            fact().process(output[:lost] + output[lost + 1 :])


@pytest.mark.parametrize("fact", list(dict.fromkeys(fact for fact, _ in ANSWERS)))
def test_no_answer_is_unreadable(fact: type[FactBase[Any]]) -> None:
    assert fact().default() is None
