"""What an uninstall stops, removes and leaves, in words; when it is refused; and the last of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import OperationError
from pyinfra.context import ctx_host, ctx_state

from facts.backup import ProfileContents
from facts.docker import DockerEngine
from facts.launchd import LaunchdJob, plist_path
from facts.mac import NoUser, User, UserState
from facts.traces import Traces, TracesState
from operations import reset, uninstall
from operations.reset import Place
from operations.uninstall import Installation, names, observe, untraced
from tests.conftest import RunOperation
from tests.fakes import FakeHost, fake_state, words
from tests.operations.test_launchd import ABSENT, LABEL, RUNNING, STOPPED, TICKED
from tests.operations.test_preflight import settings
from tests.operations.test_reset import CONTENTS, ENGINE, PARTS

PULSE = f"{LABEL}.pulse"
TRACES = TracesState(("/Library/ColimaPulse", "/var/log/colima.log"))
UNIT = "/Users/alice/colima-pulse-backups/default-20261122-101530"
WHOLE = Installation(
    settings(), Place("alice", "default", LABEL, UNIT), RUNNING, TICKED, TRACES, CONTENTS, ENGINE
)
NOTHING = replace(WHOLE, job=ABSENT, pulse=ABSENT, traces=TracesState(()), engine=None)
DELETING = replace(WHOLE, settings=settings(delete_vm=True))


def said(found: Installation) -> str:
    return "\n".join(found.plan())


def test_the_plan_in_words() -> None:
    assert WHOLE.refusal is None
    assert (
        said(WHOLE)
        == f"""Uninstall Colima Pulse
  stops: {LABEL}, {PULSE}, the VM, and in it web
  removes:
    {plist_path(LABEL)}
    {plist_path(PULSE)}
    /Library/ColimaPulse
    /var/log/colima.log
  leaves:
    profile default of alice: its VM and containers; to start it by hand: colima start
    the other profiles: foo
    backups in /Users/alice/colima-pulse-backups
    Homebrew's formulae: brew uninstall colima docker qemu"""
    )


def test_the_plan_where_the_profile_goes_as_well() -> None:
    text = said(DELETING)
    assert f"moves to {UNIT}, 3.0 GiB:" in text
    assert PARTS[0].path in text
    assert "to start it by hand" not in text
    assert "DELETES without a backup" in said(
        replace(DELETING, settings=settings(delete_vm=True, backup="false"))
    )


def test_nothing_is_left_to_do() -> None:
    assert NOTHING.plan() == []
    assert replace(NOTHING, settings=DELETING.settings, contents=replace(CONTENTS, parts=())).plan() == []
    assert replace(NOTHING, settings=DELETING.settings).plan() != []


@pytest.mark.parametrize(
    ("found", "there"),
    [
        # Its plist is gone, and launchd has it still.
        (replace(NOTHING, job=replace(RUNNING, plist_file=None)), f"stops: {LABEL}, the VM"),
        (replace(NOTHING, job=STOPPED), plist_path(LABEL)),
        (replace(NOTHING, job=replace(ABSENT, disabled=True)), f"launchd's note that {LABEL} is disabled"),
        (replace(NOTHING, pulse=TICKED), f"stops: {PULSE}\n"),
        (replace(NOTHING, traces=TRACES), "/var/log/colima.log"),
    ],
)
def test_half_of_an_installation(found: Installation, there: str) -> None:
    assert there in said(found)
    assert found.refusal is None


def test_another_profile_is_started_with_its_name() -> None:
    place = Place("alice", "work", LABEL, UNIT)
    text = said(replace(WHOLE, settings=settings(colima_profile="work"), place=place))
    assert "colima start --profile work" in text


def test_what_others_use_is_said_to_stay() -> None:
    text = said(replace(WHOLE, traces=replace(TRACES, others=("com.example.work",))))
    assert "/Library/ColimaPulse, for com.example.work" in text


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (replace(WHOLE, job=None), "launchd's answer"),
        (replace(WHOLE, pulse=None), "launchd's answer"),
        (replace(WHOLE, traces=None), "cannot be read"),
        (replace(WHOLE, contents=None), "cannot be read"),
        (
            replace(WHOLE, traces=replace(TRACES, unfinished=(("bob", "web"),))),
            "profile web of bob). Run deploy.py",
        ),
    ],
)
def test_refused(found: Installation, why: str) -> None:
    assert why in str(found.refusal)


def test_names() -> None:
    found = names(DELETING)
    assert found["state"] == f"Set profile default of alice aside to {UNIT}"
    assert found["pulse"] == f"Remove the pulse: LaunchDaemon {PULSE}"
    assert found["daemon"] == f"Remove Colima: LaunchDaemon {LABEL}"
    assert "2 paths" in str(found["traces"])
    deleting = replace(DELETING, settings=settings(delete_vm=True, backup="false"))
    assert names(deleting)["state"] == "Delete profile default of alice, without a backup"
    assert names(WHOLE)["state"] is None
    assert set(names(NOTHING).values()) == {None}


def host_of(user: UserState | NoUser | None) -> Any:
    return FakeHost(
        {
            User: user,
            LaunchdJob: lambda label, **_: TICKED if label == PULSE else RUNNING,
            Traces: TRACES,
            # A second state directory was never the installation's.
            ProfileContents: replace(CONTENTS, other_dir="/Users/alice/.config/colima", other_dir_kib=7),
            DockerEngine: ENGINE,
        }
    )


def observed(host: Any) -> Installation | None:
    try:
        with ctx_host.use(host), ctx_state.use(fake_state(executing=False)):
            return observe(host, settings())
    finally:
        ctx_host.reset()
        ctx_state.reset()


def test_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reset, "stamp", lambda: "20261122-101530")
    host = host_of(UserState(502, 20, "staff", "/Users/alice", True, "/bin/zsh"))
    monkeypatch.setattr(
        uninstall, "together", lambda *asked: [host.get_fact(fact, **words) for fact, words in asked]
    )
    assert observed(host) == WHOLE


@pytest.mark.parametrize("user", [None, NoUser()])
def test_without_the_user_nothing_is_known(user: NoUser | None) -> None:
    assert observed(host_of(user)) is None


def test_the_last_of_it(commands: RunOperation) -> None:
    arguments: dict[str, Any] = {"user": "alice", "label": LABEL, "log_path": "/var/log/colima.log"}
    got, _ = commands(untraced, {Traces: TRACES}, **arguments)
    assert [words(each) for each in got] == [["remove-traces", "alice", LABEL, "/var/log/colima.log"]]
    got, host = commands(untraced, {Traces: TracesState(())}, **arguments)
    assert (got, host.noops) == ([], ["there is nothing of it"])
    assert [words(each) for each in commands(untraced, {Traces: None}, **arguments)[0]] == [["_fail"]]
    with pytest.raises(OperationError):
        commands(untraced, {Traces: None}, executing=False, **arguments)
