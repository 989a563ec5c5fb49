"""The LaunchDaemon's property list, exactly, and how two of them differ."""

from __future__ import annotations

import plistlib
import shlex
from typing import Any

import pytest

from operations.util.plist import changes, daemon_plist, pulse_plist, to_xml
from settings import Settings

HOME = "/Users/alice"
PREFIX = "/opt/homebrew"
START = "/opt/homebrew/bin/colima start --profile=default --runtime=docker --vm-type=qemu".split()
START += "--cpu=2 --memory=2 --disk=20 --foreground".split()
ENVIRONMENT = {
    "COLIMA_HOME": "/Users/alice/.colima",
    "HOME": "/Users/alice",
    "LOGNAME": "alice",
    "PATH": "/opt/homebrew/bin:/opt/homebrew/sbin:/usr/bin:/bin:/usr/sbin:/sbin",
    "SHELL": "/bin/sh",
    "TMPDIR": "/Users/alice/Library/Caches/colima-pulse",
    "USER": "alice",
}
COMMON = {
    "Label": "homebrew.mrcee.colima-pulse",
    "RunAtLoad": True,
    "KeepAlive": True,
    "ThrottleInterval": 60,
    "ExitTimeOut": 300,
    "ProcessType": "Interactive",
    "SoftResourceLimits": {"NumberOfFiles": 10240},
    "WorkingDirectory": "/",
    "StandardOutPath": "/var/log/colima.log",
    "StandardErrorPath": "/var/log/colima.log",
}
BY_USER = COMMON | {
    "UserName": "alice",
    "ProgramArguments": ["/Library/ColimaPulse/bin/launch", *START],
    "EnvironmentVariables": ENVIRONMENT,
}
TAKEN_OVER = "launchd supervises su, and is to supervise Colima"


def plist(home: str = HOME, **options: Any) -> dict[str, Any]:
    settings, faults = Settings.parse({"homebrew_user": "alice"} | options)
    assert not faults
    return daemon_plist(settings, home, PREFIX)


def test_by_user() -> None:
    assert plist() == BY_USER


def test_by_su() -> None:
    """launchd supervises su then; what su runs is the same program in the same environment."""
    found = plist(launch_via="su")
    su = found.pop("ProgramArguments")
    assert found == COMMON
    assert su[:4] == ["/usr/bin/su", "-", "alice", "-c"]
    assert shlex.split(su[4]) == [
        *["exec", "/usr/bin/env", "-i"],
        *(f"{key}={value}" for key, value in ENVIRONMENT.items()),
        *["/Library/ColimaPulse/bin/launch", *START],
    ]


def test_options() -> None:
    found = plist(
        colima_profile="work",
        colima_cpus=8,
        colima_memory="2.5",
        colima_disk=100,
        colima_extra_args="--dns=1.1.1.1 --env='A=b c'",
        label="com.example.x",
        log_path="/Users/a b/x.log",
    )
    words = (
        "--profile=work --runtime=docker --vm-type=qemu --cpu=8 --memory=2.5 --disk=100 --dns=1.1.1.1".split()
    )
    assert found["ProgramArguments"][3:] == [*words, "--env=A=b c", "--foreground"]
    assert found["Label"] == "com.example.x"
    assert found["StandardOutPath"] == found["StandardErrorPath"] == "/Users/a b/x.log"


@pytest.mark.parametrize("via", ["user", "su"])
def test_a_home_of_any_name(via: str) -> None:
    home = "/Volumes/Data Disk/o'brien $(id) \"<&>"
    found = plist(home, launch_via=via)
    words = found["ProgramArguments"] if via == "user" else shlex.split(found["ProgramArguments"][4])
    variables = found.get("EnvironmentVariables") or dict(each.split("=", 1) for each in words[3:10])
    assert (variables["HOME"], variables["COLIMA_HOME"]) == (home, f"{home}/.colima")
    assert plistlib.loads(to_xml(found).encode()) == found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colima_disk": 40}, ["disk 20 -> 40 GiB"]),
        ({"colima_cpus": 4, "colima_memory": "2.5"}, ["memory 2 -> 2.5 GiB", "CPUs 2 -> 4"]),
        ({"colima_profile": "work"}, ["profile default -> work"]),
        ({"colima_extra_args": "--dns=1.1.1.1"}, ["options of colima start"]),
    ],
)
@pytest.mark.parametrize("via", ["user", "su"])
def test_changes(options: dict[str, Any], words: list[str], via: str) -> None:
    old, new = plist(launch_via=via), plist(launch_via=via, **options)
    assert changes(old, new) == words


@pytest.mark.parametrize(
    ("old", "words"),
    [
        (
            {key: value for key, value in BY_USER.items() if key != "ThrottleInterval"} | {"ExitTimeOut": 5},
            ["ExitTimeOut 5 -> 300", "ThrottleInterval unset -> 60"],
        ),
        (dict(reversed(BY_USER.items())), []),
        # Values of the environment are not shown.
        (BY_USER | {"EnvironmentVariables": {"TOKEN": "hunter2"}}, ["EnvironmentVariables"]),
        # Who supervises is what matters of it, and how large the VM is.
        (plist(launch_via="su", colima_cpus=1), [TAKEN_OVER, "CPUs 1 -> 2"]),
        (
            {
                "ProgramArguments": [
                    "/usr/bin/su",
                    "-",
                    "alice",
                    "-c",
                    f"exec {START[0]} start --profile default",
                ]
            },
            [TAKEN_OVER],
        ),
    ],
)
def test_changed_keys(old: dict[str, Any], words: list[str]) -> None:
    assert changes(old, BY_USER) == words


@pytest.mark.parametrize(
    "arguments", [["/usr/bin/su", "-", "alice", "-c", "echo 'not closed"], [], 5, [5, {"a": b"b"}]]
)
def test_what_others_wrote(arguments: object) -> None:
    """Whatever an old file holds, the difference is told and nothing is raised."""
    assert changes({"Label": "x", "ProgramArguments": arguments}, BY_USER)


def test_the_pulse_is_roots_and_runs_now_and_then() -> None:
    made = pulse_plist(Settings(homebrew_user="alice", label="a.b", pulse_interval=5))
    assert made["ProgramArguments"] == ["/Library/ColimaPulse/bin/pulse", "a.b"]
    assert {"UserName", "KeepAlive"} & made.keys() == set()
    assert (made["Label"], made["StartInterval"], made["RunAtLoad"]) == ("a.b.pulse", 5, True)
    assert made["ThrottleInterval"] == 5
    assert pulse_plist(Settings(homebrew_user="alice"))["ThrottleInterval"] == 10
    assert made["StandardOutPath"] == made["StandardErrorPath"] == "/var/log/a.b.log"
