"""What is done to a daemon and why: facts in, one command of the toolkit out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
import pytest
from pyinfra.api import OperationError, StringCommand

from facts.launchd import VERIFIED, FileState, JobState, LaunchdJob, Milestones, plist_path
from operations.launchd import absent, daemon, started, stopped
from operations.util.plist import daemon_plist, pulse_label, pulse_plist, to_xml
from settings import Settings
from tests.conftest import RunOperation
from tests.fakes import FakeHost, words

LABEL = "homebrew.mrcee.colima-pulse"
PULSE = pulse_label(LABEL)
PATH = plist_path(LABEL)
ABSENT = JobState(loaded=False, disabled=False)


def plist(**options: Any) -> dict[str, Any]:
    settings, faults = Settings.parse({"homebrew_user": "alice", **options})
    assert not faults
    return daemon_plist(settings, "/Users/alice", "/opt/homebrew")


PLIST = plist()


def job_of(plist: dict[str, Any], **changes: Any) -> JobState:
    """A job that runs, loaded from `plist`, with the file it was made from."""
    job = JobState(
        loaded=True,
        disabled=False,
        state="running",
        pid=312,
        path=PATH,
        program=plist["ProgramArguments"][0],
        arguments=tuple(plist["ProgramArguments"]),
        # launchd adds variables of its own.
        environment={"XPC_SERVICE_NAME": LABEL, **plist.get("EnvironmentVariables", {})},
        username=plist.get("UserName"),
        runs=1,
        exit_timeout=plist["ExitTimeOut"],
        minimum_runtime=plist["ThrottleInterval"],
        stdout_path=plist["StandardOutPath"],
        spawn_type="interactive (4)",
        properties=("keepalive", "runatload", "inferred program"),
        plist_file=FileState("Regular File", 0, 0, "644", to_xml(plist)),
    )
    return replace(job, **changes)


RUNNING = job_of(PLIST)
STOPPED = replace(ABSENT, disabled=True, plist_file=RUNNING.plist_file)
NOT_RUNNING: dict[str, Any] = {"state": "not running", "pid": None}
PULSE_PLIST = pulse_plist(Settings(homebrew_user="alice"))
TICKED = job_of(
    PULSE_PLIST,
    **NOT_RUNNING,
    path=plist_path(PULSE),
    environment={},
    runs=41,
    run_interval=30,
    properties=("runatload",),
)


def file(**changes: Any) -> FileState:
    assert RUNNING.plist_file is not None
    return replace(RUNNING.plist_file, **changes)


def told(
    commands: RunOperation, job: JobState | None, **arguments: Any
) -> tuple[list[list[str]], Any, FakeHost]:
    """What daemon() does about a job: the commands' words, the plist that comes with the first, the host."""
    got, host = commands(daemon, {LaunchdJob: job}, **{"label": LABEL, "plist": PLIST} | arguments)
    stdin = got[0].connector_arguments["_stdin"] if got and isinstance(got[0], StringCommand) else None
    return [words(each) for each in got], stdin, host


@pytest.mark.parametrize(
    "job",
    [
        RUNNING,
        replace(RUNNING, last_exit="0", runs=10),
        # macOS 27 clamps the exit timeout; a job is not reloaded for ever because of it.
        replace(RUNNING, exit_timeout=60),
        # A line that `launchctl print` did not show says nothing.
        replace(RUNNING, exit_timeout=None),
        replace(RUNNING, plist_file=file(mode="600")),
    ],
)
def test_a_converged_job_is_left_alone(commands: RunOperation, job: JobState) -> None:
    lines, _, host = told(commands, job)
    assert (lines, host.noops, host.said) == (
        [],
        [f"{LABEL} is loaded from its plist and runs (pid 312)"],
        "",
    )


@pytest.mark.parametrize("via", ["user", "su"])
def test_what_was_done_once_is_done(commands: RunOperation, via: str) -> None:
    wanted = plist(launch_via=via)
    assert told(commands, job_of(wanted), plist=wanted)[0] == []


START = f"Start Colima at boot and now: LaunchDaemon {LABEL} "
RIGHT = f"Put right {LABEL} without a restart: "


@pytest.mark.parametrize(
    ("job", "reloads", "writes", "says"),
    [
        (ABSENT, False, True, f"{START}(not loaded)"),
        (replace(ABSENT, disabled=True), False, True, f"{START}(not loaded, disabled)"),
        (replace(RUNNING, **NOT_RUNNING, loaded=False), False, False, f"{START}(not loaded)"),
        (job_of(plist(colima_memory=4)), True, True, "Restart Colima: memory 4 -> 2 GiB"),
        # A half-done run: the file is new, what is loaded is not.
        (
            job_of(plist(colima_memory=4), plist_file=file()),
            True,
            False,
            "Restart Colima: loaded with other arguments",
        ),
        (replace(RUNNING, path="/tmp/x.plist"), True, False, "Restart Colima: loaded from /tmp/x.plist"),
        (replace(RUNNING, username=None), True, False, "Restart Colima: loaded as root"),
        (
            replace(RUNNING, environment={"HOME": "/x"}),
            True,
            False,
            "Restart Colima: loaded with another environment",
        ),
        (
            replace(RUNNING, exit_timeout=5),
            True,
            False,
            "Restart Colima: loaded with an exit timeout of 5 s",
        ),
        (
            replace(RUNNING, stdout_path="/dev/null"),
            True,
            False,
            "Restart Colima: loaded with its output in /dev/null",
        ),
        (
            replace(RUNNING, properties=("runatload",)),
            True,
            False,
            "Restart Colima: loaded without KeepAlive",
        ),
        (replace(RUNNING, state="SIGTERMed"), True, False, "Restart Colima: on its way out"),
        (
            replace(RUNNING, plist_file=file(uid=501)),
            False,
            True,
            f"{RIGHT}plist is a regular file of 501:0, mode 644",
        ),
        (
            replace(RUNNING, plist_file=file(mode="664")),
            False,
            True,
            f"{RIGHT}plist is a regular file of 0:0, mode 664",
        ),
        (
            replace(RUNNING, plist_file=file(kind="Symbolic Link", mode="755")),
            False,
            True,
            f"{RIGHT}plist is a symbolic link of 0:0, mode 755",
        ),
        (replace(RUNNING, plist_file=None), False, True, f"{RIGHT}plist missing"),
        (
            replace(RUNNING, plist_file=file(text="{")),
            False,
            True,
            f"{RIGHT}plist differs from what is loaded",
        ),
        (
            replace(RUNNING, plist_file=file(text=to_xml(plist(colima_cpus=1)))),
            False,
            True,
            f"{RIGHT}plist differs from what is loaded",
        ),
        (replace(RUNNING, disabled=True), False, False, f"{RIGHT}disabled"),
        (
            replace(RUNNING, **NOT_RUNNING, runs=0),
            False,
            False,
            f"Start Colima: {LABEL} is loaded, and never spawned",
        ),
        (
            replace(RUNNING, state="spawn scheduled", pid=None, runs=5282, last_exit="1"),
            False,
            False,
            f"Start Colima: {LABEL} is not running (last exit: 1)",
        ),
    ],
)
def test_what_is_done_and_why(
    commands: RunOperation, job: JobState, reloads: bool, writes: bool, says: str
) -> None:
    lines, stdin, host = told(commands, job)
    assert lines == [["load", LABEL, *(["--reload"] if reloads else [])]]
    assert stdin == (to_xml(PLIST) if writes else "")
    assert host.logged == [says]


def test_a_restart_that_was_asked_for(commands: RunOperation) -> None:
    lines, _, host = told(commands, RUNNING, restart="asked for")
    assert lines == [["load", LABEL, "--reload"]]
    assert host.said == "Restart Colima: asked for"
    # What does not run is started, not restarted.
    assert told(commands, ABSENT, restart="asked for")[0] == [["load", LABEL]]


def test_another_form_of_the_job(commands: RunOperation) -> None:
    lines, _, host = told(commands, RUNNING, plist=plist(launch_via="su"))
    assert lines == [["load", LABEL, "--reload"]]
    assert "UserName alice -> unset" in host.said


def test_what_is_noted(commands: RunOperation) -> None:
    lines, _, _ = told(commands, ABSENT, milestones=("first-start", "prune"))
    assert lines == [["load", LABEL, "--note", "first-start", "--note", "prune"]]


def test_a_plist_that_cannot_be_written_changes_nothing(commands: RunOperation) -> None:
    with pytest.raises(ValueError, match="control"):
        told(commands, RUNNING, plist=PLIST | {"StandardOutPath": "/var/log/a\x01.log"}, restart="x")


@pytest.mark.parametrize(
    ("job", "diff", "shown"),
    [
        (job_of(plist(colima_memory=4)), True, ["-", "+"]),
        (ABSENT, True, ["+"]),
        (job_of(plist(colima_memory=4)), False, []),
        (replace(RUNNING, disabled=True), True, []),
    ],
)
def test_diff(
    commands: RunOperation, caplog: pytest.LogCaptureFixture, job: JobState, diff: bool, shown: list[str]
) -> None:
    with caplog.at_level("INFO"):
        _, host = commands(daemon, {LaunchdJob: job}, diff=diff, label=LABEL, plist=PLIST)
    lines = [click.unstyle(message).strip() for message in caplog.messages]
    assert [line[0] for line in lines if "--memory" in line] == shown
    assert (PATH in host.said) is bool(shown)


def test_the_pulse(commands: RunOperation) -> None:
    def pulse(job: JobState) -> tuple[list[list[str]], str]:
        lines, _, host = told(commands, job, plist=PULSE_PLIST, what="the pulse")
        return lines, "\n".join([*host.logged, *host.noops])

    # Between two runs it is as it should be.
    assert pulse(TICKED) == ([], f"{PULSE} is loaded from its plist and has run 41 times")
    assert pulse(ABSENT) == (
        [["load", LABEL, "--pulse"]],
        f"Start the pulse at boot and now: LaunchDaemon {PULSE} (not loaded)",
    )
    assert pulse(replace(TICKED, run_interval=60)) == (
        [["load", LABEL, "--pulse", "--reload"]],
        "Restart the pulse: loaded with an interval of 60 s",
    )


@pytest.mark.parametrize(
    ("job", "lines"),
    [
        (TICKED, [["unload", LABEL, "--pulse"]]),
        (replace(ABSENT, plist_file=TICKED.plist_file), [["unload", LABEL, "--pulse"]]),
        # launchd would remember for ever that it was disabled.
        (replace(ABSENT, disabled=True), [["unload", LABEL, "--pulse"]]),
        (ABSENT, []),
    ],
)
def test_a_daemon_that_is_not_wanted(commands: RunOperation, job: JobState, lines: list[list[str]]) -> None:
    got, host = commands(absent, {LaunchdJob: job}, label=LABEL, target=PULSE, what="the pulse")
    assert [words(each) for each in got] == lines
    assert host.logged == ([f"Remove the pulse: LaunchDaemon {PULSE}"] if lines else [])
    assert host.noops == ([] if lines else [f"{PULSE} is not there"])


def test_colimas_own_daemon_is_removed(commands: RunOperation) -> None:
    got, _ = commands(absent, {LaunchdJob: RUNNING}, label=LABEL, target=LABEL)
    assert [words(each) for each in got] == [["unload", LABEL]]


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (RUNNING, f"Stop Colima, and keep it stopped over reboots: LaunchDaemon {LABEL}"),
        (
            replace(RUNNING, disabled=True),
            f"Stop Colima, and keep it stopped over reboots: LaunchDaemon {LABEL}",
        ),
        # What a boot would start is not stopped.
        (
            replace(STOPPED, disabled=False),
            f"Keep Colima stopped over reboots: LaunchDaemon {LABEL} is not loaded, and a boot would load it",
        ),
        (STOPPED, None),
        (ABSENT, None),
    ],
)
def test_stopped(commands: RunOperation, job: JobState, says: str | None) -> None:
    got, host = commands(stopped, {LaunchdJob: job}, label=LABEL)
    assert [words(each) for each in got] == ([["stop", LABEL]] if says else [])
    assert host.logged == ([says] if says else [])
    assert len(host.noops) == (not says)


@pytest.mark.parametrize(
    ("job", "notes", "says"),
    [
        (STOPPED, {}, f"Start Colima: LaunchDaemon {LABEL} is not loaded, disabled"),
        (
            replace(RUNNING, pid=None, state="spawn scheduled", last_exit="1"),
            {},
            f"Start Colima: LaunchDaemon {LABEL} is not running (last exit: 1)",
        ),
        (replace(RUNNING, disabled=True), {VERIFIED: "5"}, f"Start Colima: LaunchDaemon {LABEL} is disabled"),
        (RUNNING, {}, "Wait until Docker is ready: 5 good answers in a row, not seen since the last start"),
        (RUNNING, None, "Wait until Docker is ready: 5 good answers in a row, not seen since the last start"),
        (RUNNING, {VERIFIED: "5"}, None),
    ],
)
def test_started(
    commands: RunOperation, job: JobState, notes: dict[str, str] | None, says: str | None
) -> None:
    got, host = commands(started, {LaunchdJob: job, Milestones: notes}, label=LABEL, required=5)
    assert [words(each) for each in got] == ([["start", LABEL]] if says else [])
    assert host.logged == ([says] if says else [])
    assert host.noops == ([] if says else [f"{LABEL} is loaded and runs (pid 312)"])


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (ABSENT, "it has never been deployed to this Mac, or was uninstalled"),
        (replace(STOPPED, plist_file=file(text=None)), "its plist cannot be read"),
        (replace(STOPPED, plist_file=file(uid=501)), "its plist is not as a deploy leaves it"),
    ],
)
def test_what_only_a_deploy_can_start(commands: RunOperation, job: JobState, why: str) -> None:
    facts = {LaunchdJob: job, Milestones: {}}
    refusal = f"{LABEL} cannot be started: {why}. Run deploy.py"
    got, _ = commands(started, facts, label=LABEL, required=5)
    assert [words(each) for each in got] == [["refuse", refusal]]
    with pytest.raises(OperationError, match=r"mini: .*Run deploy\.py"):
        commands(started, facts, executing=False, label=LABEL, required=5)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (daemon, {"plist": PLIST}),
        (absent, {"target": LABEL}),
        (stopped, {}),
        (started, {"required": 5}),
    ],
)
def test_an_answer_that_cannot_be_read_changes_nothing(
    commands: RunOperation, operation: Any, arguments: dict[str, Any]
) -> None:
    facts: dict[Any, Any] = {LaunchdJob: None, Milestones: {}}
    got, _ = commands(operation, facts, label=LABEL, **arguments)
    ((command, why),) = [words(each) for each in got]
    assert (command, why.endswith(f"Look: sudo launchctl print system/{LABEL}")) == ("refuse", True)
    with pytest.raises(OperationError, match="cannot be read, so nothing is changed"):
        commands(operation, facts, executing=False, label=LABEL, **arguments)
