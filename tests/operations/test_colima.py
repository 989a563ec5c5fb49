"""How a start of Colima is judged, shown, and undone when it was the first and failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import FunctionCommand, OperationError

from facts.colima import ColimaProfile, Log, LogPart, ProfileState
from facts.docker import DockerEngine, EngineState
from facts.launchd import JobState, LaunchdJob, Milestones, milestones_path, plist_path
from operations import colima
from operations.colima import FIRST_START, Outcome, instance, last_fatal, message_of, outcome
from tests.conftest import RunOperation
from tests.fakes import Clock, FakeHost, Series, fake_state, words

LABEL = "homebrew.mrcee.colima-pulse"
LOG = "/var/log/colima.log"
RECORDINGS = Path(__file__).parents[1] / "recordings" / "colima"
RUNNING = ProfileState(
    home="/Users/alice",
    instance="colima",
    state_dir=True,
    other_dir=None,
    data_disk=True,
    provisioned=True,
    status="Running",
    vm_type="qemu",
    runtime="docker",
)
STARTING = replace(RUNNING, status="Stopped")
NO_INSTANCE = replace(RUNNING, status=None, vm_type=None, provisioned=False, state_dir=False)
VZ = replace(RUNNING, vm_type="vz")
ANSWERS = EngineState("/s", True, None, "28.4.0", {})
SILENT = EngineState("/s", True, "curl: (52) Empty reply from server")
JOB = JobState(loaded=True, disabled=False, state="running", pid=312, runs=1)
WAITING = object()


def recorded(name: str) -> list[str]:
    return (RECORDINGS / f"{name}.log").read_text().splitlines()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("job", "profile", "engine", "failure"),
    [
        (JOB, RUNNING, ANSWERS, None),
        (JOB, STARTING, SILENT, WAITING),
        (JOB, NO_INSTANCE, None, WAITING),
        (JOB, None, None, WAITING),
        (JOB, replace(RUNNING, status="Broken"), SILENT, WAITING),
        # Lima's Running is not yet a VM whose type is known.
        (JOB, replace(RUNNING, vm_type=None), ANSWERS, WAITING),
        # A launchd that cannot be read has not said that the job ended.
        (None, STARTING, SILENT, WAITING),
        (replace(JOB, state="spawning", pid=None), STARTING, SILENT, WAITING),
        (replace(JOB, state="xpcproxy"), STARTING, SILENT, WAITING),
        (JOB, VZ, ANSWERS, "vz"),
        (replace(JOB, loaded=False), STARTING, SILENT, "booted out"),
        (replace(JOB, state="not running", pid=None, last_exit="1"), STARTING, SILENT, "1"),
        (
            replace(JOB, state="spawn scheduled", pid=None, last_exit="78: EX_CONFIG"),
            None,
            None,
            "78: EX_CONFIG",
        ),
        (replace(JOB, state="exited", pid=None), STARTING, SILENT, "ended"),
        # It ended and launchd has started it again: even if it looks well.
        (replace(JOB, runs=2, last_exit="1"), RUNNING, ANSWERS, "1"),
    ],
)
def test_outcome(
    job: JobState | None,
    profile: ProfileState | None,
    engine: EngineState | None,
    failure: object,
    first: bool,
) -> None:
    result = outcome(job, profile, engine, 1, first=first)
    if failure is WAITING:
        assert result is None
    elif failure is None:
        assert result == Outcome()
    else:
        assert result is not None
        assert str(failure) in str(result.failure)
        assert result.wrong_vm is (profile is VZ)


@pytest.mark.parametrize("engine", [None, SILENT])
def test_a_first_start_is_up_when_docker_answered(engine: EngineState | None) -> None:
    assert outcome(JOB, RUNNING, engine, 1, first=True) is None
    assert outcome(JOB, RUNNING, engine, 1, first=False) == Outcome()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('time="2026-11-21T23:54:20Z" level=info msg=done', "done"),
        ('time="2026-11-21T23:53:53Z" level=info msg="provisioning ..." context=docker', "provisioning ..."),
        (
            'time="2026-11-21" level=warning msg="error restarting docker: exit status 1" context=docker',
            "warning: error restarting docker: exit status 1",
        ),
        (
            'time="2026-11-21" level=error msg="Instance \\"colima\\" has configuration errors" error="x"',
            'error: Instance "colima" has configuration errors',
        ),
        ('Successfully created context "colima"', 'Successfully created context "colima"'),
        ("", ""),
    ],
)
def test_message_of(line: str, message: str) -> None:
    assert message_of(line) == message


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("docker-fails", "error starting docker: exit status 1"),
        ("broken", "error starting vm: error at 'starting': exit status 1"),
        ("image-fails", "disk image must be downloaded from 'https://github.com/"),
        ("foreground", None),
    ],
)
def test_last_fatal(log: str, says: str | None) -> None:
    found = last_fatal(recorded(log))
    assert (found is None) is (says is None)
    assert str(says) in str(found)


def test_line_breaks_of_a_message() -> None:
    found = str(last_fatal(recorded("image-fails")))
    assert "'guest.qcow2':n" not in found  # logrus writes a line break as \n
    assert "expected: 2765" in found


# The operation

ARGUMENTS: dict[str, Any] = {"user": "alice", "profile": "default", "label": LABEL, "log_path": LOG}


def test_nothing_to_do(commands: RunOperation) -> None:
    got, host = commands(instance, {ColimaProfile: RUNNING, Milestones: {"verified": "5"}}, **ARGUMENTS)
    assert got == []
    assert len(host.noops) == 1


@pytest.mark.parametrize(
    ("profile", "notes"),
    [
        (STARTING, {}),
        (NO_INSTANCE, {}),
        (VZ, {}),
        (None, {}),
        (replace(RUNNING, status="Broken"), {}),
        (RUNNING, {FIRST_START: ""}),  # a first start that a deploy did not see to its end
        (RUNNING, None),
    ],
)
def test_followed(commands: RunOperation, profile: ProfileState | None, notes: dict[str, str] | None) -> None:
    got, host = commands(instance, {ColimaProfile: profile, Milestones: notes}, **ARGUMENTS)
    assert len(got) == 1
    assert isinstance(got[0], FunctionCommand)
    assert got[0].args[:4] == ("alice", "default", LABEL, LOG)
    assert not host.noops


def test_unreadable(commands: RunOperation) -> None:
    with pytest.raises(OperationError, match="alice"):
        commands(instance, {ColimaProfile: None, Milestones: None}, executing=False, **ARGUMENTS)


def follow(host: Any, commands: RunOperation, **arguments: Any) -> bool:
    got, _ = commands(instance, {ColimaProfile: STARTING, Milestones: {}}, **ARGUMENTS | arguments)
    assert isinstance(got[0], FunctionCommand)
    return bool(got[0].execute(fake_state(), host, {}))


def starting(**facts: Any) -> Any:
    """A host on which the daemon was just started."""
    known: dict[str, Any] = {
        "notes": {"log-offset": "100"},
        "job": JOB,
        "profile": STARTING,
        "engine": SILENT,
        "log": LogPart(100, ()),
    }
    known |= facts
    return FakeHost(
        {
            Milestones: known["notes"],
            LaunchdJob: known["job"],
            ColimaProfile: known["profile"],
            DockerEngine: known["engine"],
            Log: known["log"],
        },
        answer=lambda told: (True, ["rc=0"] if told[0] == "launchctl" else []),
    )


def test_a_start_seen_to_its_end(clock: Clock, commands: RunOperation) -> None:
    host = starting(profile=Series(STARTING, None, STARTING, RUNNING))
    assert follow(host, commands)
    assert clock.now == 1003
    assert host.logged == []


def test_a_first_start_is_forgotten_when_it_is_up(clock: Clock, commands: RunOperation) -> None:
    host = starting(notes={FIRST_START: ""}, profile=RUNNING, engine=Series(SILENT, SILENT, ANSWERS))
    assert follow(host, commands)
    assert host.told == [["/bin/rm", "-f", f"{milestones_path(LABEL)}/{FIRST_START}"]]
    assert clock.now == 1002


@pytest.mark.parametrize(
    ("notes", "bound"), [({}, 120), ({FIRST_START: ""}, 1800), ({"log-offset": "nonsense"}, 120)]
)
def test_the_bound(clock: Clock, commands: RunOperation, notes: dict[str, str], bound: int) -> None:
    host = starting(notes=notes)
    assert not follow(host, commands)
    assert bound <= clock.now - 1000 < bound + 400  # the undoing included
    assert f"{bound} s" in host.said
    assert f"15 of {bound} s" in host.said  # a sign of life
    assert "Stopped" in host.said


def test_the_log_is_shown_once(clock: Clock, commands: RunOperation) -> None:
    asked: list[int] = []
    parts = [recorded("docker-fails")[:2], recorded("docker-fails")[2:4], []]

    def log(path: str, offset: int) -> LogPart | None:
        asked.append(offset)
        if len(asked) == 2:
            return None  # unreadable for once
        lines = parts.pop(0) if parts else []
        return LogPart(offset + len(lines), tuple(lines))

    host = starting(log=log, profile=Series(*[STARTING] * 5, RUNNING))
    assert follow(host, commands, hide_info=False)
    assert host.logged == [
        "starting colima",
        "runtime: docker",
        "creating and starting ...",
        "warning: unable to validate disk image, but continuing as requested...",
    ]
    assert asked[:4] == [100, 102, 102, 104]


def test_info_is_hidden(clock: Clock, commands: RunOperation) -> None:
    host = starting(
        log=Series(LogPart(9, tuple(recorded("docker-fails")[:4])), LogPart(9, ())), profile=RUNNING
    )
    assert follow(host, commands)
    assert host.logged == ["warning: unable to validate disk image, but continuing as requested..."]


def ended(log: str, **facts: Any) -> Any:
    return starting(
        job=Series(
            JOB, JOB, replace(JOB, state="not running", pid=None, last_exit="1"), replace(JOB, loaded=False)
        ),
        log=Series(LogPart(9, tuple(recorded(log))), LogPart(9, ())),
        **facts,
    )


def test_a_first_start_that_fails_is_undone(clock: Clock, commands: RunOperation) -> None:
    host = ended("docker-fails", notes={FIRST_START: ""})
    assert not follow(host, commands)
    # Once as the log has it, and once as the reason.
    assert host.said.count("error starting docker: exit status 1") == 2
    assert LOG in host.said
    assert all(each.live for each in host.ran if each.words[0] in ("stop-instance", "sweep-profile"))
    assert [each[:4] for each in host.told] == [
        ["diagnose", "alice", "default", LABEL],  # before anything is undone
        ["stop-instance", "alice", "default", str(colima.STOP_SECONDS)],
        ["launchctl", "bootout", f"system/{LABEL}"],
        ["sweep-profile", "alice", "default"],
        # Nothing tries again at boot.
        ["/bin/rm", "-rf", plist_path(LABEL), milestones_path(LABEL)],
    ]


def test_a_first_start_on_vz_is_undone_and_deleted(clock: Clock, commands: RunOperation) -> None:
    host = starting(notes={FIRST_START: ""}, profile=VZ, job=Series(JOB, JOB, replace(JOB, loaded=False)))
    assert not follow(host, commands)
    assert "vz" in host.said
    assert [each[0] for each in host.told] == [
        "diagnose",
        "stop-instance",
        "launchctl",
        "sweep-profile",
        "delete-instance",
        "/bin/rm",
    ]


@pytest.mark.parametrize("refuses", ["sweep-profile", "launchctl"])
def test_an_undoing_that_fails_goes_no_further(clock: Clock, commands: RunOperation, refuses: str) -> None:
    host = ended("docker-fails", notes={FIRST_START: ""})
    answer = host.answer
    host.answer = lambda told: (False, []) if told[0] == refuses else answer(told)
    assert not follow(host, commands)
    assert host.told[-1][0] == refuses
    assert "nothing of it runs" not in host.said


def test_a_profile_that_came_up_before_is_never_deleted(clock: Clock, commands: RunOperation) -> None:
    host = starting(profile=VZ, job=Series(JOB, JOB, replace(JOB, loaded=False)))
    assert not follow(host, commands)
    assert "delete-instance" not in [each[0] for each in host.told]


def test_a_later_start_that_fails_is_left_to_launchd(clock: Clock, commands: RunOperation) -> None:
    host = ended("docker-fails")
    assert not follow(host, commands)
    assert [each[0] for each in host.told] == ["diagnose"]
    # The reason, and what is left, come after all that was collected.
    where = next(line for line in host.logged if "diagnostics/" in line)
    assert "Colima did not start: " in host.logged[host.logged.index(where) + 1]
    assert "error starting docker" in host.logged[-2]
    assert "goes on trying" in host.logged[-1]
    assert host.said.count("error starting docker: exit status 1") == 2
    assert LOG in host.said
    assert "goes on trying" in host.said


def test_a_process_without_a_vm_is_not_left_to_launchd(clock: Clock, commands: RunOperation) -> None:
    """launchd sees it run, and does nothing."""
    host = starting()
    assert not follow(host, commands)
    assert [each[0] for each in host.told] == ["diagnose"]
    assert "--data restart=true" in host.said
    assert "goes on trying" not in host.said


def test_a_launchd_that_is_not_heard_at_once(clock: Clock, commands: RunOperation) -> None:
    assert follow(
        starting(job=Series(None, None, JOB), profile=Series(STARTING, STARTING, RUNNING)), commands
    )


def test_stop_and_sweep() -> None:
    assert words(colima.stop_command("a b", "work")) == ["stop-instance", "a b", "work", "240"]
    assert words(colima.sweep_command("a b", "work")) == ["sweep-profile", "a b", "work"]


@pytest.mark.parametrize(
    ("profile", "starts", "first", "says"),
    [
        (NO_INSTANCE, True, True, "first start"),
        (RUNNING, True, True, "first start"),
        (RUNNING, True, False, "Bring"),
        (STARTING, False, False, "Stopped"),
        (RUNNING, False, False, "None"),
    ],
)
def test_describe(profile: ProfileState, starts: bool, first: bool, says: str) -> None:
    assert says in str(colima.describe(profile, starts, first=first))
