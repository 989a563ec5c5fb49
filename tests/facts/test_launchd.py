"""What launchd says, in recorded texts of macOS 12 to 26, and what the fact makes of it."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest
from pyinfra.api import FactProcessError

from facts.launchd import FileState, JobState, LaunchdJob

RECORDINGS = Path(__file__).parents[1] / "recordings" / "launchctl"
LABEL = "ai.openclaw.gateway"
ABSENT = 'Bad request.\nCould not find service "nope" in domain for system'
OWNED = "Regular File 0 0 644"


def recorded(name: str) -> str:
    return (RECORDINGS / f"{name}.txt").read_text()


def process(
    printed: str, status: int = 0, label: str = LABEL, **sections: tuple[int, str]
) -> JobState | None:
    """What becomes of what files/facts/job prints."""
    listed = (0, recorded("print-disabled-macos13"))
    output = []
    for name, (code, content) in {
        "label": (0, label),
        "print": (status, printed),
        "disabled": listed,
        **sections,
    }.items():
        output += [f"[{name} {code}]", *(f"|{line}" for line in content.rstrip("\n").splitlines())]
    return LaunchdJob().process([*output, "[end 0]"])


def job(printed: str, status: int = 0, label: str = LABEL, **sections: tuple[int, str]) -> JobState:
    found = process(printed, status, label, **sections)
    assert found is not None
    return found


def test_running() -> None:
    assert job(recorded("running-macos14"), label="otelcol-sumo") == JobState(
        loaded=True,
        disabled=False,
        state="running",
        pid=54109,
        path="/Library/LaunchDaemons/com.sumologic.otelcol-sumo.plist",
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
        stdout_path="/var/log/otelcol-sumo/otelcol-sumo.log",
        properties=("keepalive", "runatload", "inferred program"),
    )


RUNNING = recorded("running-macos26")
STOPPED = recorded("not-running-macos26")


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        # The coalition blocks hold a "state = active" of their own, and a "name".
        (RUNNING, {"running": True, "state": "running", "pid": 94358, "runs": 1, "last_exit": None}),
        # The last exit is the previous run's, and a signal takes the exit code's place.
        (recorded("running-after-term-macos26"), {"running": True, "runs": 2, "last_exit": "Terminated: 15"}),
        (RUNNING.replace("(never exited)", "0").replace("\truns = 1\n", "\truns = 10\n"),
         {"running": True, "runs": 10, "last_exit": "0"}),
        (STOPPED, {"running": False, "state": "not running", "pid": None, "last_exit": "1"}),
        (recorded("never-ran-macos26"), {"running": False, "runs": 0, "last_exit": None}),
        # After bootout it drains, with its pid.
        (RUNNING.replace("= running", "= SIGTERMed"), {"running": False, "state": "SIGTERMed", "pid": 94358}),
        (RUNNING.replace("= running", "= SIGKILLed"), {"running": False, "state": "SIGKILLed"}),
        (RUNNING.replace("= running", "= xpcproxy"), {"running": True, "state": "xpcproxy"}),
        (STOPPED.replace("exit code = 1", "exit reason = OS_REASON_EXEC"), {"last_exit": "OS_REASON_EXEC"}),
        # Up to macOS 10.14.
        (RUNNING.replace(f"system/{LABEL} = {{", f"{LABEL} = {{"), {"running": True, "pid": 94358}),
        (recorded("spawn-scheduled-macos26").replace("sh.billet.capture", LABEL),
         {"state": "spawn scheduled", "pid": None, "last_exit": "78: EX_CONFIG",
          "arguments": ("/usr/local/bin/billet", "node"), "exit_timeout": 88200}),
    ],
)  # fmt: skip
def test_states(printed: str, expected: dict[str, object]) -> None:
    found = job(printed)
    assert found.loaded
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    "argument", ["state = exited", "}", "set -e\nrun() {\n  pid = 1\n}\n}\nrun\n\n", "pid = 1"]
)
def test_an_argument_that_looks_like_something_else(argument: str) -> None:
    """It is printed raw, as macOS does: what is in the first column is neither the end nor a value."""
    printed = RUNNING.replace("\t\t--config\n", f"\t\t{argument}\n\t\t}}\n", 1)
    found = job(f"\n{printed}\n\n")
    assert found.arguments[1:3] == (argument, "}")
    assert (found.state, found.pid) == ("running", 94358)


def test_absent() -> None:
    assert job(ABSENT, 113) == JobState(loaded=False, disabled=False)


@pytest.mark.parametrize("status", [1, 3, 5, 112, 124])
def test_another_failure_is_unreadable_and_never_absent(status: int) -> None:
    assert process(ABSENT, status) is None


@pytest.mark.parametrize(
    "printed",
    [
        "",
        RUNNING[: RUNNING.index("\tdomain")],  # cut off
        RUNNING + "\nand more",
        RUNNING.replace("\tstate = running\n", ""),
        RUNNING.replace(f"system/{LABEL}", "system/another.job"),
        RUNNING.replace(f"system/{LABEL} = ", f"gui/501/{LABEL} = "),
    ],
)
def test_a_text_of_another_shape_is_unreadable(printed: str) -> None:
    assert process(printed) is None


@pytest.mark.parametrize("macos", ["print-disabled-macos12", "print-disabled-macos13"])
def test_disabled(macos: str) -> None:
    listed = {"com.apple.ftpd": True, "com.example.x": False, "com.apple.ftp": False, "not.listed": False}
    listed["com.example.login"] = False  # a login item, not a service
    given = (0, recorded(macos))
    assert {label: job(ABSENT, 113, label, disabled=given).disabled for label in listed} == listed
    assert process(RUNNING, disabled=(1, "")) is None


def test_files() -> None:
    plist = {"Label": LABEL, "ProgramArguments": ["/bin/sh", "-c", "a\n\n|b & <c>"]}
    xml = plistlib.dumps(plist).decode()
    found = job(RUNNING, owner=(0, OWNED), plist=(0, xml))
    assert found.plist_file == FileState("Regular File", 0, 0, "644", xml)
    assert found.plist == plist
    assert job(RUNNING, owner=(0, OWNED), plist=(1, xml)).plist is None


@pytest.mark.parametrize("content", ["x: file was cut off", "", "<plist><array/></plist>", "<plist>"])
def test_a_plist_that_is_none(content: str) -> None:
    assert job(RUNNING, owner=(0, OWNED), plist=(0, content)).plist is None


@pytest.mark.parametrize(
    ("owner", "alone"),
    [
        (OWNED, True),
        ("Regular File 501 0 644", False),
        ("Regular File 0 20 644", False),
        ("Regular File 0 0 664", False),
        ("Symbolic Link 0 0 755", False),
    ],
)
def test_roots_alone(owner: str, alone: bool) -> None:
    file = job(RUNNING, owner=(0, owner)).plist_file
    assert file is not None
    assert file.is_roots_alone is alone


def test_a_stat_that_failed_is_no_answer() -> None:
    with pytest.raises(FactProcessError):
        job(RUNNING, owner=(0, "stat: /x: No such file or directory"))
