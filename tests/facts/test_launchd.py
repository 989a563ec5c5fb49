"""What launchd says, in recorded texts of macOS 12 to 26, and what the fact makes of it."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import FactProcessError

from facts.launchd import (
    FileState,
    JobState,
    LaunchdJob,
    Milestones,
    parse_disabled,
)

RECORDINGS = Path(__file__).parents[1] / "recordings" / "launchctl"
DISABLED = (RECORDINGS / "print-disabled-macos13.txt").read_text()
LABEL = "ai.openclaw.gateway"
ABSENT = 'Bad request.\nCould not find service "nope" in domain for system'
OWNED = "Regular File 0 0 644"


def recorded(name: str) -> str:
    return (RECORDINGS / f"{name}.txt").read_text()


def section(name: str, status: int, content: str) -> list[str]:
    return [f"[{name} {status}]", *(f"|{line}" for line in content.rstrip("\n").splitlines())]


def answer(
    printed: str,
    *,
    label: str = LABEL,
    status: int = 0,
    disabled: str = DISABLED,
    disabled_status: int = 0,
    files: dict[str, tuple[int, str]] | None = None,
) -> list[str]:
    """What files/observe-job prints."""
    output = section("label", 0, label)
    output += section("print", status, printed)
    output += section("disabled", disabled_status, disabled)
    for name, (code, content) in (files or {}).items():
        output += section(name, code, content)
    return [*output, "[end 0]"]


def job(printed: str, **given: Any) -> JobState:
    found = LaunchdJob().process(answer(printed, **given))
    assert found is not None
    return found


def test_running() -> None:
    assert job(recorded("running-macos14"), label="otelcol-sumo") == JobState(
        loaded=True,
        disabled=False,
        state="running",
        pid=54109,
        path="/Library/LaunchDaemons/com.sumologic.otelcol-sumo.plist",
        program="/usr/local/bin/otelcol-sumo",
        arguments=(
            "/usr/local/bin/otelcol-sumo",
            "--config",
            "/etc/otelcol-sumo/sumologic.yaml",
            "--config",
            "glob:/etc/otelcol-sumo/conf.d/*.yaml",
        ),
        environment={"XPC_SERVICE_NAME": "otelcol-sumo"},
        username="_otelcol-sumo",
        runs=1,
        last_exit=None,
        exit_timeout=5,
        minimum_runtime=10,
        stdout_path="/var/log/otelcol-sumo/otelcol-sumo.log",
        spawn_type="daemon (3)",
        properties=("keepalive", "runatload", "inferred program"),
    )


RUNNING = recorded("running-macos26")


@pytest.mark.parametrize(
    ("printed", "running", "expected"),
    [
        # The coalition blocks hold a "state = active" of their own, and a "name".
        (RUNNING, True, {"state": "running", "pid": 94358, "runs": 1, "last_exit": None}),
        # The last exit is the previous run's, and a signal takes the exit code's place.
        (
            recorded("running-after-term-macos26"),
            True,
            {"state": "running", "pid": 94358, "runs": 2, "last_exit": "Terminated: 15"},
        ),
        (
            RUNNING.replace("(never exited)", "0").replace("\truns = 1\n", "\truns = 10\n"),
            True,
            {"state": "running", "runs": 10, "last_exit": "0"},
        ),
        (
            recorded("not-running-macos26"),
            False,
            {"state": "not running", "pid": None, "runs": 1, "last_exit": "1"},
        ),
        (
            recorded("never-ran-macos26"),
            False,
            {"state": "not running", "pid": None, "runs": 0, "last_exit": None},
        ),
        # After bootout it drains, with its pid.
        (
            RUNNING.replace("state = running", "state = SIGTERMed"),
            False,
            {"state": "SIGTERMed", "pid": 94358},
        ),
        (RUNNING.replace("state = running", "state = SIGKILLed"), False, {"state": "SIGKILLed"}),
        (RUNNING.replace("state = running", "state = xpcproxy"), True, {"state": "xpcproxy"}),
        (
            recorded("not-running-macos26").replace(
                "last exit code = 1", "last exit reason = OS_REASON_CODESIGNING"
            ),
            False,
            {"last_exit": "OS_REASON_CODESIGNING"},
        ),
        # Up to macOS 10.14.
        (RUNNING.replace(f"system/{LABEL} = {{", f"{LABEL} = {{"), True, {"pid": 94358}),
    ],
)
def test_states(printed: str, running: bool, expected: dict[str, object]) -> None:
    found = job(printed)
    assert found.loaded
    assert found.running is running
    assert {key: getattr(found, key) for key in expected} == expected


def test_missing_executable() -> None:
    found = job(recorded("spawn-scheduled-macos26"), label="sh.billet.capture")
    assert (found.state, found.pid, found.last_exit) == ("spawn scheduled", None, "78: EX_CONFIG")
    assert found.arguments == ("/usr/local/bin/billet", "node")
    assert (found.exit_timeout, found.minimum_runtime) == (88200, 5)
    assert "penalty box" in found.properties


def test_argument_that_looks_like_the_end_of_a_block() -> None:
    printed = RUNNING.replace("\t\t--config\n", "\t\t}\n\t\tstate = exited\n\t\tpid = 1\n", 1)
    found = job(printed)
    assert found.arguments[1:4] == ("}", "state = exited", "pid = 1")
    assert (found.state, found.pid) == ("running", 94358)


MANY_LINES = """\
set -e
run() {
  pid = 1
}
}
run

"""


def test_argument_of_many_lines() -> None:
    """It is printed raw, as macOS does: what is in the first column is neither the end nor a value."""
    printed = RUNNING.replace("\t\t--config\n", f"\t\t{MANY_LINES}\n\t\t}}\n", 1)
    found = job(printed)
    assert found.arguments[1:3] == (MANY_LINES, "}")
    assert (found.state, found.pid) == ("running", 94358)
    assert job(f"\n{printed}\n\n") == found


def test_absent() -> None:
    found = job(ABSENT, status=113)
    assert found == JobState(loaded=False, disabled=False)
    assert not found.running
    assert found.plist is None


@pytest.mark.parametrize("status", [1, 3, 5, 36, 112, 124, 255])
def test_another_failure_is_unreadable_and_never_absent(status: int) -> None:
    assert LaunchdJob().process(answer(ABSENT, status=status)) is None


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "launchd had a bad day",
        RUNNING[: RUNNING.index("\tdomain")],  # cut off
        RUNNING + "\nand more",
        RUNNING.replace("\tstate = running\n", ""),
        RUNNING.replace(f"system/{LABEL}", "system/another.job"),
        RUNNING.replace(f"system/{LABEL} = ", f"gui/501/{LABEL} = "),
    ],
)
def test_a_text_of_another_shape_is_unreadable(printed: str) -> None:
    assert LaunchdJob().process(answer(printed)) is None


@pytest.mark.parametrize("macos", ["print-disabled-macos12", "print-disabled-macos13"])
@pytest.mark.parametrize(
    ("label", "disabled"),
    [
        ("com.apple.ftpd", True),
        ("com.example.x", False),
        ("com.apple.ftp", False),
        ("not.listed", False),
        ("com.example.login", False),  # a login item, not a service
    ],
)
def test_disabled(macos: str, label: str, disabled: bool) -> None:
    assert parse_disabled(recorded(macos).splitlines(), label) is disabled
    assert job(ABSENT, status=113, label=label, disabled=recorded(macos)).disabled is disabled


def test_unreadable_disabled_list() -> None:
    assert LaunchdJob().process(answer(RUNNING, disabled="", disabled_status=1)) is None


def test_files() -> None:
    plist = {"Label": LABEL, "ProgramArguments": ["/bin/sh", "-c", "a\n\n|b & <c>"]}
    xml = plistlib.dumps(plist).decode()
    found = job(RUNNING, files={"owner": (0, OWNED), "plist": (0, xml)})
    assert found.plist_file == FileState("Regular File", 0, 0, "644", xml)
    assert found.plist == plist


@pytest.mark.parametrize("content", ["x: file was cut off", "", "<plist><array/></plist>", "<plist>"])
def test_a_plist_that_is_none(content: str) -> None:
    found = job(RUNNING, files={"owner": (0, OWNED), "plist": (0, content)})
    assert found.plist is None
    assert job(RUNNING, files={"owner": (0, OWNED), "plist": (1, content)}).plist is None


@pytest.mark.parametrize(
    ("owner", "alone"),
    [
        ("Regular File 0 0 644", True),
        ("Regular File 501 0 644", False),
        ("Regular File 0 20 644", False),
        ("Regular File 0 0 664", False),
        ("Symbolic Link 0 0 755", False),
    ],
)
def test_roots_alone(owner: str, alone: bool) -> None:
    found = job(RUNNING, files={"owner": (0, owner), "plist": (1, "")})
    assert found.plist_file is not None
    assert found.plist_file.is_roots_alone is alone


def test_a_stat_that_failed_is_no_answer() -> None:
    with pytest.raises(FactProcessError):
        job(RUNNING, files={"owner": (0, "stat: /x: No such file or directory")})


def test_milestones() -> None:
    output = ["log-offset=1024", "first-start=", "smoke.web=a=b", "end"]
    assert Milestones().process(output) == {"log-offset": "1024", "first-start": "", "smoke.web": "a=b"}
    assert Milestones().process(["end"]) == {}
