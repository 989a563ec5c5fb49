"""Which jobs start Colima, told by what they run: ours to remove, or to mention only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facts.launchd import Definition
from operations.util.rivals import Start, judge, start_of
from tests.starts import STARTS

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


@pytest.mark.parametrize(("arguments", "profile"), STARTS.items(), ids=map(" ".join, STARTS))
def test_what_colima_would_read(arguments: tuple[str, ...], profile: str | None) -> None:
    assert start_of(arguments, {}, HOME) == (None if profile is None else Start(profile))


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ((COLIMA, "start"), Start("default")),
        ((COLIMA, "start", "--profile", "", "work"), Start("default")),
        ((COLIMA, "start", "-p", "two words"), None),
        ((COLIMA, "start", "-c", "4", "work"), Start("work")),  # not a shell's -c
        (("/bin/sh", "-c", f"{COLIMA} start -p work; sleep 9"), Start("work")),
        (("/bin/zsh", "-lc", "exec colima start"), Start("default")),
        (("/bin/sh", "-c", "cd '/x; colima start"), Start("default")),
        (
            ("/usr/bin/su", "-", "alice", "-c", "unset X; export HOME=/x; exec colima start --foreground"),
            Start("default", "alice"),
        ),
        (("/usr/bin/sudo", "-u", "bob", COLIMA, "start"), Start("default", "bob")),
        (("/bin/sh", "-c", "sudo -H -u bob colima start"), Start("default", "bob")),
        (("/usr/bin/sudo", "-u", "bob", "/bin/sh", "-c", "colima start"), Start("default", "bob")),
        (("/bin/sh", "-c", "su - bob -c 'colima start \"work\"'"), Start("work", "bob")),
        # The commands of a text are told apart, and a redirection is no profile.
        (("/bin/sh", "-c", "/bin/wait4path /nix && exec colima start --foreground"), Start("default")),
        (("/bin/sh", "-c", "colima status work||colima start -f>/tmp/log 2>&1 </dev/null"), Start("default")),
        (
            ("/bin/sh", "-c", "# colima start\nwhile ! colima start \\\n work; do sleep 5\ndone"),
            Start("work"),
        ),
        (("/bin/sh", "-c", "(colima start & wait) | tee x"), Start("default")),
        (("/bin/sh", "-c", "colima start 'a;b'"), None),
        (("/bin/sh", "-c", "colima start $(cat profile)"), None),
        (("/bin/sh", "-c", "colima start a; colima start b"), Start("a")),
        (("/bin/sh", "-c", 'exec "$@"', "sh", "colima", "start"), None),
        # Variables that are set on the way.
        (("/usr/bin/env", "COLIMA_PROFILE=work", "colima", "start"), Start("work")),
        (("/bin/sh", "-c", "export COLIMA_PROFILE=work; colima start"), Start("work")),
        (("/bin/sh", "-c", "COLIMA_PROFILE=$1 colima start"), None),
        ((COLIMA, "stop"), None),
        ((COLIMA, "status"), None),
        (("/bin/echo", "mycolima", "start"), None),
        (("/usr/bin/tail", "-f", "/var/log/colima.log"), None),
        (("/opt/homebrew/bin/limactl", "start", "colima"), None),  # another Lima home's
        (("/opt/homebrew/bin/lima", "start", "colima"), None),  # in a guest
        (("/bin/sh", "-c", "colima start " + " " * 70000), None),  # nobody typed that
        ((), None),
    ],
)
def test_start_of(arguments: tuple[str, ...], start: Start | None) -> None:
    assert start_of(arguments, {}, HOME) == start


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (("start", "--tty=false", "colima"), Start("default")),
        (("--debug", "start", "colima-work", "--foreground"), Start("work")),
        (("--log-level", "debug", "start", "/tmp/colima-work.yaml"), Start("work")),
        (("start", "--name=colima", "/tmp/x.yaml"), Start("default")),
        (("start", "--timeout", "10m", "colima"), Start("default")),
        (("start", "ubuntu"), None),
        (("start", "colimate"), None),
        (("start", "--no-such-flag", "colima"), None),
        (("start",), None),
        (("stop", "colima"), None),
        (("shell", "colima", "start"), None),
    ],
)
def test_lima_in_colimas_home(words: tuple[str, ...], start: Start | None) -> None:
    arguments = ("/opt/homebrew/bin/limactl", *words)
    assert start_of(arguments, {"LIMA_HOME": f"{HOME}/.colima/_lima"}, HOME) == start
    assert start_of(arguments, {"LIMA_HOME": f"{HOME}/.lima"}, HOME) is None
    text = f"LIMA_HOME={HOME}/.colima/_lima limactl {' '.join(words)}"
    assert start_of(("/bin/sh", "-c", text), {}, HOME) == start


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
        # `sudo brew services start colima --sudo-service-user alice`, as two Homebrews call it.
        replace(DAEMON, label="homebrew.mxcl.colima", arguments=SERVICE.arguments),
        replace(DAEMON, label="sh.brew.colima", arguments=SERVICE.arguments),
        # `limactl autostart enable --condition=boot colima`, of a Lima that hands on its home.
        replace(
            DAEMON,
            label="io.lima-vm.daemon.colima",
            arguments=("/opt/homebrew/bin/limactl", "start", "colima", "--foreground"),
            environment={"LIMA_HOME": f"{HOME}/.colima/_lima"},
        ),
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
        (replace(DAEMON, username="b\x1b]52;c;\x07ob\n"), "b?]52;c;?ob?"),
        (replace(SERVICE, arguments=(COLIMA, "start", "work")), "work"),
        (replace(SERVICE, arguments=(COLIMA, "stop")), "not known"),
        (replace(DAEMON, label="sh.brew.colima", username="bob", arguments=SERVICE.arguments), "bob"),
        # Without a LIMA_HOME it is an instance of ~/.lima.
        (
            replace(SERVICE, label="io.lima-vm.autostart.colima", arguments=("limactl", "start", "colima")),
            "not known",
        ),
        (replace(SERVICE, kind="link", label=None), "link"),
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
