"""Which jobs start Colima, told by what they run: ours to remove, or to mention only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facts.launchd import Definition
from operations.util.rivals import Start, judge, start_of

HOME = "/Users/alice"
COLIMA = "/opt/homebrew/bin/colima"
LABEL = "homebrew.mrcee.colima-pulse"
SERVICE = Definition(
    kind="file",
    domain="gui/502",
    path=f"{HOME}/Library/LaunchAgents/homebrew.mxcl.colima.plist",
    label="homebrew.mxcl.colima",
    arguments=("/opt/homebrew/opt/colima/bin/colima", "start", "-f"),
)
DAEMON = replace(SERVICE, domain="system", path="/Library/LaunchDaemons/x.plist", username="alice")


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ((COLIMA, "start"), Start("default")),
        (("colima", "start", "--foreground"), Start("default")),
        ((COLIMA, "restart"), Start("default")),
        ((COLIMA, "start", "work"), Start("work")),
        ((COLIMA, "start", "-f", "-p", "work"), Start("work")),
        ((COLIMA, "start", "--profile=work"), Start("work")),
        ((COLIMA, "start", "--profile", "colima-work"), Start("work")),
        ((COLIMA, "start", "-p", "colima"), Start("default")),
        # Colima takes the profile before its verb as well.
        ((COLIMA, "--profile", "work", "start"), Start("work")),
        ((COLIMA, "-p", "default", "start"), Start("default")),
        ((COLIMA, "--verbose", "start"), Start("default")),
        (("/bin/sh", "-c", f"{COLIMA} start -p work; sleep 9"), Start("work")),
        (("/bin/zsh", "-lc", "exec colima start"), Start("default")),
        (("/bin/sh", "-c", "cd '/x; colima start"), Start("default")),
        (
            ("/usr/bin/su", "-", "alice", "-c", "unset X; export HOME=/x; exec colima start --foreground"),
            Start("default", "alice"),
        ),
        (("/usr/bin/sudo", "-u", "bob", COLIMA, "start"), Start("default", "bob")),
        ((COLIMA, "stop"), None),
        ((COLIMA, "status"), None),
        (("/bin/echo", "mycolima", "start"), None),
        (("/usr/bin/tail", "-f", "/var/log/colima.log"), None),
        (("/opt/homebrew/bin/limactl", "start", "colima"), None),  # another Lima home's
        ((), None),
    ],
)
def test_start_of(arguments: tuple[str, ...], start: Start | None) -> None:
    assert start_of(arguments, {}, HOME) == start


@pytest.mark.parametrize(
    ("instance", "start"), [("colima", Start("default")), ("colima-work", Start("work")), ("ubuntu", None)]
)
def test_lima_in_colimas_home(instance: str, start: Start | None) -> None:
    arguments = ("/opt/homebrew/bin/limactl", "start", "--tty=false", instance)
    assert start_of(arguments, {"LIMA_HOME": f"{HOME}/.colima/_lima"}, HOME) == start
    assert start_of(arguments, {"LIMA_HOME": f"{HOME}/.lima"}, HOME) is None


def test_the_profile_of_the_environment() -> None:
    assert start_of((COLIMA, "start"), {"COLIMA_PROFILE": "work"}, HOME) == Start("work")
    assert start_of((COLIMA, "start", "-p", "a"), {"COLIMA_PROFILE": "work"}, HOME) == Start("a")


@pytest.mark.parametrize(
    "definition",
    [
        SERVICE,
        DAEMON,
        replace(DAEMON, username=None, arguments=("/usr/bin/su", "-", "alice", "-c", "colima start")),
        replace(DAEMON, kind="loaded", path=None),
        replace(SERVICE, label=LABEL),  # an agent of our label is not our daemon
    ],
)
def test_rivals(definition: Definition) -> None:
    rival = judge(definition, LABEL, "alice", HOME, "default")
    assert rival is not None
    assert rival.starts_ours
    assert str(definition.label) in rival.name
    assert (definition.path or "loaded in system") in rival.name


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (replace(DAEMON, username="bob"), "bob"),
        (replace(DAEMON, username=None), "root"),
        (replace(SERVICE, arguments=(COLIMA, "start", "work")), "work"),
        (replace(SERVICE, arguments=(COLIMA, "stop")), "not known"),
        (replace(SERVICE, kind="link"), "link"),
        (replace(SERVICE, kind="unreadable", label=None), "read"),
    ],
)
def test_only_mentioned(definition: Definition, why: str) -> None:
    rival = judge(definition, LABEL, "alice", HOME, "default")
    assert rival is not None
    assert not rival.starts_ours
    assert why in rival.why


@pytest.mark.parametrize("label", [LABEL, f"{LABEL}.pulse"])
def test_our_own(label: str) -> None:
    assert judge(replace(DAEMON, label=label), LABEL, "alice", HOME, "default") is None
