"""What is done to a daemon and why: facts in, one command of the toolkit out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
import pytest
from pyinfra.api import OperationError, StringCommand

from facts.homebrew import Formula, Formulae, FormulaeState
from facts.launchd import VERIFIED, FileState, JobState, LaunchdJob, Milestones, plist_path
from operations.launchd import absent, daemon, restarted, started, stopped
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
        arguments=tuple(plist["ProgramArguments"]),
        # launchd adds variables of its own.
        environment={"XPC_SERVICE_NAME": LABEL, **plist.get("EnvironmentVariables", {})},
        username=plist.get("UserName"),
        runs=1,
        exit_timeout=plist["ExitTimeOut"],
        stdout_path=plist["StandardOutPath"],
        properties=("keepalive", "runatload", "inferred program"),
        plist_file=FileState("Regular File", 0, 0, "644", to_xml(plist)),
    )
    return replace(job, **changes)


RUNNING = job_of(PLIST)
STOPPED = replace(ABSENT, disabled=True, plist_file=RUNNING.plist_file)
LARGER = job_of(plist(colima_memory=4))
PULSE_PLIST = pulse_plist(Settings(homebrew_user="alice"))
TICKED = job_of(
    PULSE_PLIST,
    state="not running",
    pid=None,
    path=plist_path(PULSE),
    environment={},
    runs=41,
    run_interval=30,
    properties=("runatload",),
)


def running(**changes: Any) -> JobState:
    return replace(RUNNING, **changes)


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
        running(last_exit="0", runs=10),
        # macOS 27 clamps the exit timeout; a job is not reloaded for ever because of it.
        running(exit_timeout=60),
        # A line that `launchctl print` did not show says nothing.
        running(exit_timeout=None, plist_file=file(mode="600")),
    ],
)
def test_a_converged_job_is_left_alone(commands: RunOperation, job: JobState) -> None:
    lines, _, host = told(commands, job)
    noop = f"{LABEL} is loaded from its plist and runs (pid 312)"
    assert (lines, host.noops, host.said) == ([], [noop], "")


def test_what_was_done_once_is_done_in_the_other_form_too(commands: RunOperation) -> None:
    su = plist(launch_via="su")
    assert told(commands, job_of(su), plist=su)[0] == []
    lines, _, host = told(commands, RUNNING, plist=su)
    assert lines == [["load", LABEL, "--reload"]]
    assert "UserName alice -> unset" in host.said


START, RESTART, RIGHT = (
    f"Start Colima at boot and now: LaunchDaemon {LABEL} ",
    "Restart Colima: ",
    f"Put right {LABEL} without a restart: ",
)
OTHER_TEXT = file(text=to_xml(plist(colima_cpus=1)))


@pytest.mark.parametrize(
    ("job", "writes", "says"),
    [
        (replace(ABSENT, disabled=True), True, f"{START}(not loaded, disabled)"),
        (running(state="not running", pid=None, loaded=False), False, f"{START}(not loaded)"),
        (LARGER, True, f"{RESTART}memory 4 -> 2 GiB"),
        # A half-done run: the file is new, what is loaded is not.
        (replace(LARGER, plist_file=file()), False, f"{RESTART}loaded with other arguments"),
        (running(path="/tmp/x.plist"), False, f"{RESTART}loaded from /tmp/x.plist"),
        (running(username=None), False, f"{RESTART}loaded as root"),
        (running(environment={"HOME": "/x"}), False, f"{RESTART}loaded with another environment"),
        (running(exit_timeout=5), False, f"{RESTART}loaded with an exit timeout of 5 s"),
        (running(stdout_path="/dev/null"), False, f"{RESTART}loaded with its output in /dev/null"),
        (running(properties=("runatload",)), False, f"{RESTART}loaded without KeepAlive"),
        (running(state="SIGTERMed"), False, f"{RESTART}on its way out"),
        (running(plist_file=file(uid=501)), True, f"{RIGHT}plist is a regular file of 501:0, mode 644"),
        (running(plist_file=file(mode="664")), True, f"{RIGHT}plist is a regular file of 0:0, mode 664"),
        (
            running(plist_file=file(kind="Symbolic Link")),
            True,
            f"{RIGHT}plist is a symbolic link of 0:0, mode 644",
        ),
        (running(plist_file=None), True, f"{RIGHT}plist missing"),
        (running(plist_file=OTHER_TEXT), True, f"{RIGHT}plist differs from what is loaded"),
        (running(disabled=True), False, f"{RIGHT}disabled"),
        (running(pid=None, runs=0), False, f"Start Colima: {LABEL} is loaded, and never spawned"),
        (running(pid=None, last_exit="1"), False, f"Start Colima: {LABEL} is not running (last exit: 1)"),
    ],
)
def test_what_is_done_and_why(commands: RunOperation, job: JobState, writes: bool, says: str) -> None:
    lines, stdin, host = told(commands, job)
    assert lines == [["load", LABEL, *(["--reload"] if says.startswith(RESTART) else [])]]
    assert stdin == (to_xml(PLIST) if writes else "")
    assert host.logged == [says]


def test_what_one_run_is_asked_for(commands: RunOperation) -> None:
    lines, _, host = told(commands, RUNNING, restart="asked for")
    assert (lines, host.said) == ([["load", LABEL, "--reload"]], "Restart Colima: asked for")
    # What does not run is started, not restarted.
    lines, *_ = told(commands, ABSENT, restart="asked for", milestones=("first-start", "prune"))
    assert lines == [["load", LABEL, "--note", "first-start", "--note", "prune"]]
    with pytest.raises(ValueError, match="control"):
        told(commands, RUNNING, plist=PLIST | {"StandardOutPath": "/var/log/a\x01.log"}, restart="x")


@pytest.mark.parametrize(
    ("job", "diff", "shown"),
    [(LARGER, True, ["-", "+"]), (ABSENT, True, ["+"]), (LARGER, False, []), (RUNNING, True, [])],
)
def test_diff(
    commands: RunOperation, caplog: pytest.LogCaptureFixture, job: JobState, diff: bool, shown: list[str]
) -> None:
    with caplog.at_level("INFO"):
        _, host = commands(daemon, {LaunchdJob: job}, diff=diff, label=LABEL, plist=PLIST)
    lines = [click.unstyle(message).strip() for message in caplog.messages]
    assert [line[0] for line in lines if "--memory" in line] == shown
    assert (PATH in host.said) is bool(shown)


@pytest.mark.parametrize(
    ("job", "options", "says"),
    [
        # Between two runs it is as it should be.
        (TICKED, None, f"{PULSE} is loaded from its plist and has run 41 times"),
        (ABSENT, [], f"Start the pulse at boot and now: LaunchDaemon {PULSE} (not loaded)"),
        (
            replace(TICKED, run_interval=60),
            ["--reload"],
            "Restart the pulse: loaded with an interval of 60 s",
        ),
    ],
)
def test_the_pulse(commands: RunOperation, job: JobState, options: list[str] | None, says: str) -> None:
    lines, _, host = told(commands, job, plist=PULSE_PLIST, what="the pulse")
    assert lines == ([] if options is None else [["load", LABEL, "--pulse", *options]])
    assert [*host.logged, *host.noops] == [says]


@pytest.mark.parametrize(
    ("job", "target", "lines"),
    [
        (TICKED, PULSE, [["unload", LABEL, "--pulse"]]),
        # launchd would remember for ever that it was disabled.
        (replace(ABSENT, disabled=True), PULSE, [["unload", LABEL, "--pulse"]]),
        (replace(ABSENT, plist_file=TICKED.plist_file), PULSE, [["unload", LABEL, "--pulse"]]),
        (ABSENT, PULSE, []),
        (RUNNING, LABEL, [["unload", LABEL]]),
    ],
)
def test_absent(commands: RunOperation, job: JobState, target: str, lines: list[list[str]]) -> None:
    got, host = commands(absent, {LaunchdJob: job}, label=LABEL, target=target, what="it")
    assert [words(each) for each in got] == lines
    assert host.logged == ([f"Remove it: LaunchDaemon {target}"] if lines else [])
    assert host.noops == ([] if lines else [f"{target} is not there"])


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (RUNNING, "Stop Colima, and keep it stopped over reboots: LaunchDaemon "),
        (running(disabled=True), "Stop Colima, and keep it stopped over reboots: LaunchDaemon "),
        # What a boot would start is not stopped.
        (replace(STOPPED, disabled=False), "Keep Colima stopped over reboots: LaunchDaemon "),
        (STOPPED, None),
        (ABSENT, None),
    ],
)
def test_stopped(commands: RunOperation, job: JobState, says: str | None) -> None:
    got, host = commands(stopped, {LaunchdJob: job}, label=LABEL)
    assert [words(each) for each in got] == ([["stop", LABEL]] if says else [])
    assert host.said.startswith(f"{says}{LABEL}" if says else "")
    assert len(host.noops) == (not says)


READY = "Wait until Docker is ready: 5 good answers in a row"
DOWN = f"Start Colima: LaunchDaemon {LABEL} is "


@pytest.mark.parametrize(
    ("job", "notes", "says"),
    [
        (STOPPED, {}, f"{DOWN}not loaded, disabled"),
        (running(pid=None, last_exit="1"), {}, f"{DOWN}not running (last exit: 1)"),
        (running(disabled=True), {VERIFIED: "5"}, f"{DOWN}disabled"),
        (RUNNING, {}, READY),
        (RUNNING, None, READY),
        (RUNNING, {VERIFIED: "5"}, None),
    ],
)
def test_started(commands: RunOperation, job: JobState, notes: Any, says: str | None) -> None:
    got, host = commands(started, {LaunchdJob: job, Milestones: notes}, label=LABEL, required=5)
    assert [words(each) for each in got] == ([["start", LABEL]] if says else [])
    assert host.logged == ([says] if says else [])
    assert host.noops == ([] if says else [f"{LABEL} is loaded and runs (pid 312)"])


INSTALLED = {"lima": Formula("2.2.0", 500, pinned=False), "qemu": Formula("10.2.0", 900, pinned=False)}
OLD = FormulaeState(INSTALLED, now=1000, age=200, up=300)
NEW = FormulaeState(INSTALLED, now=1000, age=50, up=300)


@pytest.mark.parametrize(
    ("job", "formulae", "foreseen", "says"),
    [
        (RUNNING, OLD, {}, "Restart Colima: qemu 10.2.0 installed since its start"),
        (RUNNING, NEW, {"upgrade": True, "executing": False}, "Restart Colima after the upgrade"),
        (running(pid=None, last_exit="1"), NEW, {}, "Start Colima: not running (last exit: 1)"),
        # It was said before that it would be one, and was none.
        (RUNNING, NEW, {"upgrade": True}, None),
        (RUNNING, replace(NEW, age=None), {}, None),
        (STOPPED, OLD, {"upgrade": True, "executing": False}, None),
    ],
)
def test_restarted(commands: RunOperation, job: Any, formulae: Any, foreseen: Any, says: str | None) -> None:
    got, host = commands(restarted, {LaunchdJob: job, Formulae: formulae}, label=LABEL, user="al", **foreseen)
    assert [words(each) for each in got] == ([["load", LABEL, "--reload"]] if says else [])
    assert host.logged == ([says] if says else [])
    assert len(host.noops) == (not says)


LOOK = rf"cannot be read, so nothing is changed.*Look: sudo launchctl print system/{LABEL}$"
NEVER = "cannot be started: it has never been deployed to this Mac, or was uninstalled. Run deploy.py$"


@pytest.mark.parametrize(
    ("operation", "arguments", "job", "why"),
    [
        (started, {"required": 5}, ABSENT, NEVER),
        (started, {"required": 5}, replace(STOPPED, plist_file=file(text=None)), "its plist cannot be read"),
        (started, {"required": 5}, replace(STOPPED, plist_file=file(uid=501)), "not as a deploy leaves it"),
        (started, {"required": 5}, None, LOOK),
        (daemon, {"plist": PLIST}, None, LOOK),
        (absent, {"target": LABEL}, None, LOOK),
        (stopped, {}, None, LOOK),
        (restarted, {"user": "al"}, None, LOOK),
        (restarted, {"user": "al"}, RUNNING, "what is installed cannot be read"),
    ],
)
def test_refused(commands: RunOperation, operation: Any, arguments: Any, job: Any, why: str) -> None:
    """What only a deploy can start, and an answer that cannot be read."""
    facts: dict[Any, Any] = {LaunchdJob: job, Milestones: {}, Formulae: None}
    (command,), _ = commands(operation, facts, label=LABEL, **arguments)
    assert words(command)[0] == "refuse"
    with pytest.raises(OperationError, match=why):
        commands(operation, facts, executing=False, label=LABEL, **arguments)
