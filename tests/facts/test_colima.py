"""What limactl and the guest say, and what the facts make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyinfra.api import FactProcessError

from facts.colima import (
    ColimaProfile,
    Disk,
    Guest,
    GuestState,
    ProfileState,
    Strays,
    StraysState,
)

HOME = "/Users/pulse"
PID_FILE = f"{HOME}/.colima/_lima/colima/ha.pid"
RUNNING = {
    "name": "colima",
    "status": "Running",
    "vmType": "qemu",
    "cpus": 1,
    "memory": 2147483648,
    "disk": 21474836480,  # the root disk; the data disk's size is Colima's to say
    "hostAgentPID": 10099,
    "driverPID": 10120,
}
BROKEN = RUNNING | {"status": "Broken", "hostAgentPID": 0, "errors": ["host agent is not running"]}
WORK = RUNNING | {"name": "colima-work", "vmType": "vz", "cpus": 8}


def profile(*instances: dict[str, Any] | str, **changed: str) -> ProfileState | None:
    """What becomes of what files/facts/profile prints."""
    values = {"home": HOME, "instance": "colima", "state_dir": "yes", "data_disk": "yes"}
    values |= {"provisioned": "yes", "disk": "10", "runtime": "docker", "lima": "0"} | changed
    lines = [each if isinstance(each, str) else json.dumps(each) for each in instances]
    return ColimaProfile().process(
        [*(f"{key}={value}" for key, value in values.items()), *(f"|{line}" for line in lines), "end"]
    )


def test_running() -> None:
    assert profile(WORK, RUNNING) == ProfileState(
        home=HOME,
        instance="colima",
        state_dir=True,
        other_dir=None,
        data_disk=True,
        provisioned=True,
        status="Running",
        vm_type="qemu",
        runtime="docker",
        cpus=1,
        memory=2147483648,
        disk=10,
    )


@pytest.mark.parametrize(
    ("instance", "changed", "expected"),
    [
        (WORK, {"instance": "colima-work"}, {"instance": "colima-work", "vm_type": "vz", "cpus": 8}),
        (BROKEN, {}, {"status": "Broken"}),
        (RUNNING, {"provisioned": "no", "disk": "", "runtime": ""},
         {"provisioned": False, "disk": None, "runtime": None}),
        (RUNNING, {"unfinished": "moving"}, {"unfinished": "moving"}),
        (RUNNING, {"unfinished": ""}, {"unfinished": "unknown"}),
        (RUNNING | {"status": ""}, {}, {"status": "Unknown"}),
        # Absent
        (RUNNING, {"lima": "absent"}, {"status": None, "vm_type": None}),
        (WORK, {}, {"status": None, "vm_type": None}),
        ("", {}, {"status": None}),
    ],
)  # fmt: skip
def test_states(instance: Any, changed: dict[str, str], expected: dict[str, object]) -> None:
    found = profile(instance, **changed)
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize("lima", ["1", "124", "missing", ""])
def test_no_answer_is_not_absent(lima: str) -> None:
    assert profile(lima=lima) is None
    assert profile(RUNNING, home="") is None


@pytest.mark.parametrize("garbage", ['time="x" level=fatal msg="no"', "[]", '"Running"'])
def test_garbage(garbage: str) -> None:
    """What a shell or a wrapper prints besides is no reason for a traceback: nothing is known then."""
    assert profile(garbage, RUNNING) is None


STRAYS = [
    f"process=4711 limactl hostagent --pidfile {PID_FILE} --socket x=y",
    "process=4712 colima start",
    f"stale={PID_FILE}\tpid 7 is another process",
    "stale=/_disks/colima/in_use_by\theld by colima-foo",
]


@pytest.mark.parametrize(
    ("output", "state"),
    [
        (
            ["launchctl=113", "looked=yes", *STRAYS],
            StraysState(
                supervised=False,
                processes=(
                    (4711, f"limactl hostagent --pidfile {PID_FILE} --socket x=y"),
                    (4712, "colima start"),
                ),
                stale=((PID_FILE, "pid 7 is another process"),),
                held_by="colima-foo",
            ),
        ),
        (["launchctl=113", "looked=yes"], StraysState(supervised=False)),
        (["launchctl=0"], StraysState(supervised=True)),
        # Not looked for is unknown, and only 113 means that launchd does not supervise.
        (["launchctl=113"], None),
        (["launchctl=112", "looked=yes"], None),
        (["launchctl=", "looked=yes"], None),
    ],
)
def test_strays(output: list[str], state: StraysState | None) -> None:
    assert Strays().process([*output, "end"]) == state


def test_a_pid_that_is_none_is_no_answer() -> None:
    with pytest.raises(FactProcessError):
        Strays().process(["launchctl=113", "looked=yes", "process=ps: error", "end"])


ACTIVE = ["answers=yes", "docker=active"]


@pytest.mark.parametrize(
    ("output", "state"),
    [
        (["answers=yes", "docker=active", "containerd=failed"], GuestState(True, "active", "failed")),
        (["answers=yes", "docker=", "containerd=active"], GuestState(True, None, "active")),
        (["answers=no"], GuestState(False)),
        (
            [*ACTIVE, "uptime=90", "entered=30000001", "disk=100 60 30"],
            GuestState(True, "active", docker_seconds=60, disk=Disk(102400, 61440, 30720)),
        ),
        # systemd remembers when a unit that has failed since became active, and says 0 of one that never was.
        (["answers=yes", "docker=failed", "uptime=90", "entered=30000001"], GuestState(True, "failed")),
        ([*ACTIVE, "uptime=90", "entered=0", "disk=100 60"], GuestState(True, "active")),
        ([*ACTIVE, "uptime=99999999999", "entered=30000001"], GuestState(True, "active")),
        ([*ACTIVE, "entered=30000001"], GuestState(True, "active")),
        ([], None),
        (["answers=perhaps", "docker=active"], None),
    ],
)
def test_guest(output: list[str], state: GuestState | None) -> None:
    assert Guest().process([*output, "end"]) == state


@pytest.mark.parametrize(
    ("before", "clock", "after", "off"),
    [
        (100, "100", 100, 0),
        # The answer took seven seconds: when in them the guest looked is not known.
        (100, "107", 107, 0),
        (100, "99", 107, -1),
        (100, "200", 107, 93),
        (100, "", 101, None),
    ],
)
def test_the_guests_clock(before: int, clock: str, after: int, off: int | None) -> None:
    found = Guest().process([f"before={before}", "answers=yes", f"clock={clock}", f"after={after}", "end"])
    assert found is not None
    assert found.clock_off == off
