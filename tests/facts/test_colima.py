"""What limactl says of an instance, and what the fact makes of it."""

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
    Log,
    LogState,
    ProfileState,
    Program,
    ProgramState,
    Strays,
    StraysState,
)

HOME = "/Users/pulse"
LIMA = f"{HOME}/.colima/_lima"
RUNNING = {
    "name": "colima",
    "hostname": "lima-colima",
    "status": "Running",
    "dir": f"{LIMA}/colima",
    "vmType": "qemu",
    "arch": "x86_64",
    "cpus": 1,
    "memory": 2147483648,
    "disk": 21474836480,  # the root disk; the data disk's size is Colima's to say
    "sshLocalPort": 37867,
    "hostAgentPID": 10099,
    "driverPID": 10120,
    "config": {"vmType": "qemu"},
}
STOPPED = {key: value for key, value in RUNNING.items() if not key.endswith("PID")} | {"status": "Stopped"}
BROKEN = STOPPED | {
    "status": "Broken",
    "driverPID": 21829,
    "errors": ["qemu driver is running but host agent is not"],
}
WORK = RUNNING | {"name": "colima-work", "vmType": "vz", "cpus": 8}


def answer(*instances: dict[str, Any] | str, lima: str = "0", **changed: str) -> list[str]:
    """What files/observe-profile prints."""
    values = {
        "home": HOME,
        "instance": "colima",
        "state_dir": "yes",
        "instance_dir": "yes",
        "data_disk": "yes",
        "provisioned": "yes",
        "disk": "10",
        "runtime": "docker",
    } | changed
    lines = [each if isinstance(each, str) else json.dumps(each) for each in instances]
    return [
        *(f"{key}={value}" for key, value in values.items()),
        f"lima={lima}",
        *(f"|{line}" for line in lines),
        "end",
    ]


def profile(*instances: dict[str, Any] | str, **changed: str) -> ProfileState:
    found = ColimaProfile().process(answer(*instances, **changed))
    assert found is not None
    return found


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
        host_agent_pid=10099,
        driver_pid=10120,
    )


def test_another_profile() -> None:
    found = profile(RUNNING, WORK, instance="colima-work")
    assert (found.instance, found.vm_type, found.cpus) == ("colima-work", "vz", 8)


def test_broken() -> None:
    found = profile(BROKEN)
    assert (found.status, found.host_agent_pid, found.driver_pid) == ("Broken", None, 21829)
    assert found.errors == ("qemu driver is running but host agent is not",)


def test_stopped() -> None:
    found = profile(STOPPED, provisioned="no", disk="", runtime="")
    assert (found.exists, found.status, found.provisioned) == (True, "Stopped", False)
    assert (found.disk, found.runtime) == (None, None)


@pytest.mark.parametrize("said, stage", [("moving", "moving"), ("", "unknown")])
def test_unfinished(said: str, stage: str) -> None:
    assert profile(STOPPED, unfinished=said).unfinished == stage
    assert profile(STOPPED).unfinished is None


@pytest.mark.parametrize("status", ["", None])
def test_a_status_that_lima_cannot_tell(status: str | None) -> None:
    found = profile(RUNNING | {"status": status})
    assert found.exists
    assert found.status not in ("Running", "Stopped", "")


@pytest.mark.parametrize("output", [answer(lima="absent"), answer(WORK), answer("", lima="0")])
def test_absent(output: list[str]) -> None:
    found = ColimaProfile().process(output)
    assert found is not None
    assert not found.exists
    assert found.vm_type is None


@pytest.mark.parametrize("lima", ["1", "124", "127", "missing", ""])
def test_no_answer_is_not_absent(lima: str) -> None:
    assert ColimaProfile().process(answer(RUNNING, lima=lima)) is None


def test_no_home() -> None:
    assert ColimaProfile().process(answer(RUNNING, home="")) is None


@pytest.mark.parametrize("garbage", ['time="x" level=fatal msg="no"', "[]", '"Running"', '{"name":'])
def test_garbage(garbage: str) -> None:
    """What a shell or a wrapper prints besides is no reason for a traceback: nothing is known then."""
    assert ColimaProfile().process(answer(garbage, RUNNING)) is None
    assert ColimaProfile().process(answer(RUNNING, garbage)) is None


def test_log() -> None:
    assert Log().process(["size=2048", "end"]) == LogState(2048)
    assert Log().process(["exposed=/a is b's", "size=0", "end"]) == LogState(0, "/a is b's")


STRAYS = [
    "launchctl=113",
    "looked=yes",
    f"process=4711 limactl hostagent --pidfile {LIMA}/colima/ha.pid --socket x=y",
    "process=4712 colima start",
    f"stale={LIMA}/colima/ha.pid\tpid 7 is another process",
    f"stale={LIMA}/_disks/colima/in_use_by\theld by colima-foo",
    "end",
]


def test_strays() -> None:
    assert Strays().process(STRAYS) == StraysState(
        supervised=False,
        processes=(
            (4711, f"limactl hostagent --pidfile {LIMA}/colima/ha.pid --socket x=y"),
            (4712, "colima start"),
        ),
        stale=((f"{LIMA}/colima/ha.pid", "pid 7 is another process"),),
        held_by="colima-foo",
    )
    assert Strays().process(["launchctl=113", "looked=yes", "end"]) == StraysState(supervised=False)
    assert Strays().process(["launchctl=0", "end"]) == StraysState(supervised=True)


@pytest.mark.parametrize("status", ["1", "5", "112", "124", "", "x"])
def test_only_113_means_that_launchd_does_not_supervise(status: str) -> None:
    assert Strays().process([f"launchctl={status}", "looked=yes", "end"]) is None


def test_strays_not_looked_for_are_unknown() -> None:
    assert Strays().process(["launchctl=113", "end"]) is None


def test_a_pid_that_is_none_is_no_answer() -> None:
    with pytest.raises(FactProcessError):
        Strays().process(["launchctl=113", "looked=yes", "process=ps: error", "end"])


@pytest.mark.parametrize(
    ("output", "state"),
    [
        (["answers=yes", "docker=active", "containerd=failed"], GuestState(True, "active", "failed")),
        (["answers=yes"], GuestState(True)),
        (["answers=yes", "docker=", "containerd=active"], GuestState(True, None, "active")),
        (["answers=no"], GuestState(False)),
        (
            ["answers=yes", "docker=active", "uptime=90", "entered=30000001", "disk=100 60 30"],
            GuestState(True, "active", docker_seconds=60, disk=Disk(102400, 61440, 30720)),
        ),
        # systemd remembers when a unit that has failed since became active, and says 0 of one that never was.
        (["answers=yes", "docker=failed", "uptime=90", "entered=30000001"], GuestState(True, "failed")),
        (["answers=yes", "docker=active", "uptime=90", "entered=0"], GuestState(True, "active")),
        (["answers=yes", "docker=active", "entered=30000001", "disk=100 60"], GuestState(True, "active")),
        (["answers=yes", "docker=active", "uptime=90", "disk=  "], GuestState(True, "active")),
        ([], None),
        (["answers="], None),
        (["answers=perhaps", "docker=active"], None),
    ],
)
def test_guest(output: list[str], state: GuestState | None) -> None:
    assert Guest().process([*output, "end"]) == state


@pytest.mark.parametrize(
    ("output", "state"),
    [
        (
            ["now=1000", "elapsed=   01:05", "link=../Cellar/colima/0.10.3/bin/colima", "linked=900"],
            ProgramState("0.10.3", 900, 1000, 65),
        ),
        # brew's own build of a branch; and a program that brew did not install.
        (["now=1000", "elapsed=", "link=../Cellar/colima/HEAD-1a2b3c4/bin/colima", "linked=900"],
         ProgramState("HEAD-1a2b3c4", 900, 1000, None)),
        (["now=1000", "elapsed=2-00:00:01", "link=", "linked=900"], ProgramState(None, 900, 1000, 172801)),
        (["now=", "elapsed=", "link=/opt/colima", "linked="], ProgramState(None, None, None, None)),
    ],
)  # fmt: skip
def test_program(output: list[str], state: ProgramState) -> None:
    assert Program().process([*output, "end"]) == state
