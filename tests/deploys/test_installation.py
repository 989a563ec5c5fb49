"""What an uninstall stops, removes and leaves, in words, and when it is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.context import ctx_host, ctx_state

from deploys.installation import Installation, observe
from facts.backup import ProfileContents
from facts.docker import DockerEngine
from facts.homebrew import Homebrew, HomebrewState
from facts.launchd import LaunchdJob, plist_path
from facts.mac import NoUser, User, UserState
from facts.traces import Traces
from operations import reset
from operations.reset import Place
from tests.deploys.test_faults import settings
from tests.fakes import FakeHost, fake_state
from tests.operations.test_launchd import ABSENT, LABEL, PULSE, RUNNING, TICKED
from tests.operations.test_reset import CONTENTS, ENGINE, TWO, UNIT
from tests.operations.test_uninstall import TRACES

HOMEBREW = HomebrewState("/opt/homebrew", "/opt/homebrew/bin/brew", "alice", ("colima",))
WHOLE = Installation(
    settings(),
    "/Users/alice",
    Place("alice", "default", LABEL, UNIT),
    HOMEBREW,
    RUNNING,
    TICKED,
    TRACES,
    CONTENTS,
    ENGINE,
)
NOTHING = replace(WHOLE, job=ABSENT, pulse=ABSENT, traces=replace(TRACES, paths=()), engine=None)
DELETING = replace(WHOLE, settings=settings(delete_vm=True))


def test_the_plan_in_words() -> None:
    assert (
        "\n".join(WHOLE.plan())
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


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (DELETING, f"moves to {UNIT}, 3 GiB:\n    {CONTENTS.parts[0].path}"),
        (replace(WHOLE, settings=settings(delete_vm=True, backup="false")), "leaves:"),
        (replace(DELETING, settings=settings(delete_vm=True, backup="false")), "DELETES without a backup"),
        # Its plist is gone, and launchd has it still.
        (replace(NOTHING, job=replace(RUNNING, plist_file=None)), f"stops: {LABEL}, the VM"),
        (replace(NOTHING, job=replace(ABSENT, disabled=True)), f"launchd's note that {LABEL} is disabled"),
        (replace(NOTHING, pulse=TICKED), f"stops: {PULSE}\n"),
        (replace(NOTHING, traces=TRACES), "/var/log/colima.log"),
        (replace(WHOLE, settings=settings(colima_profile="work")), "colima start --profile work"),
        (
            replace(WHOLE, traces=replace(TRACES, others=("com.example.work",))),
            "/Library/ColimaPulse, for com.example.work",
        ),
    ],
)
def test_other_plans(found: Installation, says: str) -> None:
    said = "\n".join(found.plan())
    assert says in said
    assert ("to start it by hand" in said) is not found.deletes


def test_nothing_is_left_to_do() -> None:
    assert NOTHING.plan() == []
    assert replace(NOTHING, settings=DELETING.settings, contents=replace(CONTENTS, parts=())).plan() == []
    assert replace(NOTHING, settings=DELETING.settings).plan() != []


def observed(**changed: Any) -> Installation | str:
    facts = {
        User: UserState(502, "/Users/alice", True, "/bin/zsh"),
        Homebrew: HOMEBREW,
        LaunchdJob: lambda label, **_: TICKED if label == PULSE else RUNNING,
        Traces: TRACES,
        # A second state directory was never the installation's.
        ProfileContents: TWO,
        DockerEngine: ENGINE,
    }
    named = {fact.__name__: fact for fact in facts}
    host: Any = FakeHost(facts | {named[name]: value for name, value in changed.items()})
    try:
        with ctx_host.use(host), ctx_state.use(fake_state(executing=False)):
            return observe(settings())
    finally:
        ctx_host.reset()
        ctx_state.reset()


def test_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reset, "stamp", lambda: "20261122-101530")
    assert observed() == WHOLE
    assert observed(DockerEngine=None) == replace(WHOLE, engine=None)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"User": NoUser()}, "this Mac has no user alice"),
        ({"User": None}, "cannot be read"),
        ({"LaunchdJob": None}, "launchd's answer"),
        ({"Homebrew": None}, "cannot be read"),
        ({"Traces": None}, "cannot be read"),
        ({"ProfileContents": None}, "cannot be read"),
        ({"Traces": replace(TRACES, unfinished=(("bob", "web"),))}, "profile web of bob). Run deploy.py"),
    ],
)
def test_refused(changed: dict[str, Any], why: str) -> None:
    assert why in str(observed(**changed))
