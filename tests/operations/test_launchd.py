"""What is done to a daemon and why, exactly; and how launchctl's answers are taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
import pytest
from pyinfra.api import FunctionCommand, OperationError, StringCommand
from pyinfra.context import ctx_host, ctx_state

from facts.launchd import LAUNCH, FileState, JobState, LaunchdJob, milestones_path, plist_path
from files import text
from operations import launchd
from operations.launchd import (
    Convergence,
    absent,
    converge,
    daemon,
    describe,
    load_job,
    started,
    stopped,
    unload_job,
)
from operations.util.plist import daemon_plist, pulse_plist, to_xml
from operations.util.remote import LiveCommand
from settings import Settings
from tests.conftest import RunOperation
from tests.fakes import Clock, FakeHost, fake_state, words

LABEL = "homebrew.mrcee.colima-pulse"
PATH = plist_path(LABEL)
LAUNCHER = text("launch")
ABSENT = JobState(loaded=False, disabled=False)


def plist(**options: Any) -> dict[str, Any]:
    settings, faults = Settings.parse({"homebrew_user": "alice", **options})
    assert not faults
    return daemon_plist(settings, "/Users/alice", "/opt/homebrew")


PLIST = plist()


def job_of(plist: dict[str, Any], **changes: Any) -> JobState:
    """A job that runs, loaded from `plist`, with the files it was made from."""
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
        launch_file=FileState("Regular File", 0, 0, "755", LAUNCHER),
    )
    return replace(job, **changes)


RUNNING = job_of(PLIST)
NOT_RUNNING: dict[str, Any] = {"state": "not running", "pid": None}


def file(**changes: Any) -> FileState:
    assert RUNNING.plist_file is not None
    return replace(RUNNING.plist_file, **changes)


def launcher(**changes: Any) -> FileState:
    assert RUNNING.launch_file is not None
    return replace(RUNNING.launch_file, **changes)


# The decision


@pytest.mark.parametrize(
    "job",
    [
        RUNNING,
        replace(RUNNING, last_exit="0", runs=10),
        replace(RUNNING, state="spawning"),
        # macOS 27 clamps the exit timeout; a job is not reloaded for ever because of it.
        replace(RUNNING, exit_timeout=60),
        # A line that `launchctl print` did not show says nothing.
        replace(RUNNING, exit_timeout=None),
        replace(RUNNING, plist_file=file(mode="600")),
    ],
)
def test_converged(job: JobState) -> None:
    decision = converge(job, PLIST, LAUNCHER)
    assert decision == Convergence()
    assert not decision.needed


FRESH = {"write_launch": True, "write_plist": True, "load": True}
RELOAD = {"unload": True, "load": True}
DECISIONS: list[tuple[str, JobState, dict[str, bool], list[str]]] = [
    ("fresh", ABSENT, FRESH, ["not loaded"]),
    ("fresh, disabled", replace(ABSENT, disabled=True), FRESH | {"enable": True}, ["not loaded", "disabled"]),
    (
        "booted out by hand",
        replace(RUNNING, **NOT_RUNNING, loaded=False),
        {"load": True},
        ["not loaded"],
    ),
    (
        "memory",
        job_of(plist(colima_memory=4)),
        {"write_plist": True, **RELOAD},
        ["memory 4 -> 2 GiB"],
    ),
    ("disk", job_of(plist(colima_disk=10)), {"write_plist": True, **RELOAD}, ["disk 10 -> 20 GiB"]),
    (
        "a half-done run: the file is new, what is loaded is not",
        job_of(plist(colima_memory=4), plist_file=file()),
        RELOAD,
        ["other arguments"],
    ),
    ("another path", replace(RUNNING, path="/tmp/x.plist"), RELOAD, ["/tmp/x.plist"]),
    ("other arguments", replace(RUNNING, arguments=("/bin/true",)), RELOAD, ["other arguments"]),
    ("root", replace(RUNNING, username=None), RELOAD, ["root"]),
    ("environment", replace(RUNNING, environment={"HOME": "/x"}), RELOAD, ["environment"]),
    ("exit timeout", replace(RUNNING, exit_timeout=5), RELOAD, ["exit timeout"]),
    ("output", replace(RUNNING, stdout_path="/dev/null"), RELOAD, ["/dev/null"]),
    ("no KeepAlive", replace(RUNNING, properties=("runatload",)), RELOAD, ["KeepAlive"]),
    ("draining", replace(RUNNING, state="SIGTERMed"), RELOAD, ["on its way out"]),
    ("user-owned", replace(RUNNING, plist_file=file(uid=501)), {"write_plist": True}, ["501"]),
    ("group-writable", replace(RUNNING, plist_file=file(mode="664")), {"write_plist": True}, ["664"]),
    (
        "a link",
        replace(RUNNING, plist_file=file(kind="Symbolic Link", mode="755")),
        {"write_plist": True},
        ["symbolic link"],
    ),
    ("file missing", replace(RUNNING, plist_file=None), {"write_plist": True}, ["plist missing"]),
    ("file unreadable", replace(RUNNING, plist_file=file(text="{")), {"write_plist": True}, ["differs"]),
    (
        "file edited, not loaded",
        replace(RUNNING, plist_file=file(text=to_xml(plist(colima_cpus=1)))),
        {"write_plist": True},
        ["plist differs"],
    ),
    ("disabled", replace(RUNNING, disabled=True), {"enable": True}, ["disabled"]),
    (
        "never spawned",
        replace(RUNNING, **NOT_RUNNING, runs=0),
        {"load": True},
        ["never spawned"],
    ),
    (
        "crash looping",
        replace(RUNNING, state="spawn scheduled", pid=None, runs=5282, last_exit="1"),
        {"load": True},
        ["not running", "1"],
    ),
    ("launch missing", replace(RUNNING, launch_file=None), {"write_launch": True}, ["launch"]),
    ("launch old", replace(RUNNING, launch_file=launcher(text="old\n")), {"write_launch": True}, ["launch"]),
    (
        "launch not root's",
        replace(RUNNING, launch_file=launcher(uid=501)),
        {"write_launch": True},
        ["launch"],
    ),
    ("launch mode", replace(RUNNING, launch_file=launcher(mode="644")), {"write_launch": True}, ["launch"]),
]


@pytest.mark.parametrize(
    ("job", "does", "why"), [each[1:] for each in DECISIONS], ids=[d[0] for d in DECISIONS]
)
def test_decisions(job: JobState, does: dict[str, bool], why: list[str]) -> None:
    decision = converge(job, PLIST, LAUNCHER)
    assert decision.needed
    assert decision == Convergence(decision.reasons, **does)
    assert all(any(word in reason for reason in decision.reasons) for word in why)
    described = str(describe(job, LABEL, decision))
    assert all(word in described for word in why)
    assert described.startswith("Restart Colima") is (does.get("unload") is True)


def test_a_decision_reached_is_kept() -> None:
    """Whatever was wrong: once the job is loaded from the files as they ought to be, nothing is."""
    for via in ("user", "su"):
        wanted = plist(launch_via=via)
        assert not converge(job_of(wanted), wanted, LAUNCHER).needed


def test_restart() -> None:
    decision = converge(RUNNING, PLIST, LAUNCHER, restart=True)
    assert decision == Convergence(decision.reasons, unload=True, load=True)
    assert "restart" in str(describe(RUNNING, LABEL, decision))
    # What does not run is started, not restarted.
    assert not converge(ABSENT, PLIST, LAUNCHER, restart=True).unload


def test_from_user_to_su() -> None:
    decision = converge(RUNNING, plist(launch_via="su"), LAUNCHER)
    assert decision == Convergence(decision.reasons, write_plist=True, unload=True, load=True)
    assert any("UserName" in reason for reason in decision.reasons)


def test_describe() -> None:
    assert describe(RUNNING, LABEL, Convergence()) is None
    assert "at boot" in str(describe(ABSENT, LABEL, converge(ABSENT, PLIST, LAUNCHER)))
    crashed = replace(RUNNING, **NOT_RUNNING)
    assert "at boot" not in str(describe(crashed, LABEL, converge(crashed, PLIST, LAUNCHER)))
    disabled = replace(RUNNING, disabled=True)
    assert "without a restart" in str(describe(disabled, LABEL, converge(disabled, PLIST, LAUNCHER)))


# The commands

STOP = StringCommand("stop-colima")
SWEEP = StringCommand("sweep-colima")
WRITE_LAUNCH = ["install-file", LAUNCH, "0755"]
HOLD = ["hold", LABEL, "630", "deploy"]  # twice what launchd may need
LET_GO = ["hold", LABEL, "0", "deploy"]
WRITE_PLIST = ["install-file", PATH, "0644"]
BEGIN = ["begin", milestones_path(LABEL), "/var/log/colima.log", "alice"]


DAEMON: dict[str, Any] = {"label": LABEL, "plist": PLIST, "before_unload": STOP, "after_unload": SWEEP}


def told(commands: RunOperation, job: JobState, **arguments: Any) -> list[list[str]]:
    got, _ = commands(
        daemon,
        {LaunchdJob: job},
        **DAEMON | arguments,
    )
    return [words(each) for each in got]


def test_fresh(commands: RunOperation) -> None:
    got, host = commands(daemon, {LaunchdJob: ABSENT}, label=LABEL, plist=PLIST, milestones=("first-start",))
    assert [words(each) for each in got] == [WRITE_LAUNCH, WRITE_PLIST, [*BEGIN, "first-start"], ["load_job"]]
    # Content travels by standard input, not on a command line.
    assert [
        each.connector_arguments.get("_stdin") for each in got[:2] if isinstance(each, StringCommand)
    ] == [
        LAUNCHER,
        to_xml(PLIST),
    ]
    assert not host.noops
    assert "not loaded" in host.said


@pytest.mark.usefixtures("commands")
def test_a_plist_that_cannot_be_written_changes_nothing() -> None:
    """It was found out when the job was unloaded already."""
    wrong = PLIST | {"StandardOutPath": "/var/log/a\x01.log"}
    host: Any = FakeHost({LaunchdJob: RUNNING})
    with ctx_state.use(fake_state()), ctx_host.use(host), pytest.raises(ValueError, match="control"):
        next(daemon._inner(label=LABEL, plist=wrong, restart=True))


def test_nothing_to_do(commands: RunOperation) -> None:
    got, host = commands(daemon, {LaunchdJob: RUNNING}, label=LABEL, plist=PLIST, before_unload=STOP)
    assert got == []
    assert len(host.noops) == 1
    assert "312" in host.noops[0]


def test_reload(commands: RunOperation) -> None:
    job = job_of(plist(colima_memory=4), exit_timeout=300)
    got, _ = commands(
        daemon, {LaunchdJob: job}, label=LABEL, plist=PLIST, before_unload=STOP, after_unload=SWEEP
    )
    assert [words(each) for each in got] == [
        HOLD,
        ["stop-colima"],
        ["unload_job"],
        ["sweep-colima"],
        WRITE_PLIST,
        BEGIN,
        ["load_job"],
        LET_GO,
    ]
    assert isinstance(got[1], LiveCommand)
    assert isinstance(got[3], LiveCommand)
    # launchd kills at the exit timeout; it is waited for longer.
    assert isinstance(got[2], FunctionCommand)
    assert got[2].args[0] == LABEL
    assert 300 < got[2].args[1] < 400


def test_the_wait_for_the_end_is_longer_than_launchds(commands: RunOperation) -> None:
    for timeout, least in ((600, 600), (None, PLIST["ExitTimeOut"])):
        job = replace(RUNNING, exit_timeout=timeout)
        got, _ = commands(daemon, {LaunchdJob: job}, label=LABEL, plist=PLIST, restart=True)
        assert isinstance(got[1], FunctionCommand)
        assert got[1].args[1] > least


def test_put_right_without_a_restart(commands: RunOperation) -> None:
    assert told(commands, replace(RUNNING, plist_file=file(uid=501))) == [WRITE_PLIST]
    assert told(commands, replace(RUNNING, launch_file=launcher(text="old\n"))) == [WRITE_LAUNCH]
    assert told(commands, replace(RUNNING, disabled=True)) == [["launchctl", "enable", f"system/{LABEL}"]]


def test_restarts(commands: RunOperation) -> None:
    again = [HOLD, ["stop-colima"], ["unload_job"], ["sweep-colima"], BEGIN, ["load_job"], LET_GO]
    assert told(commands, RUNNING, restart=True) == again
    assert told(commands, replace(RUNNING, state="SIGTERMed")) == again
    assert told(commands, replace(RUNNING, path="/tmp/x")) == again
    assert told(commands, RUNNING, restart=True, before_unload=None, after_unload=None) == [
        HOLD,
        ["unload_job"],
        BEGIN,
        ["load_job"],
        LET_GO,
    ]


def test_loaded_and_not_running(commands: RunOperation) -> None:
    assert told(commands, replace(RUNNING, **NOT_RUNNING, runs=0)) == [BEGIN, ["load_job"]]


def test_su_owns_the_log_as_root(commands: RunOperation) -> None:
    got, _ = commands(daemon, {LaunchdJob: ABSENT}, label=LABEL, plist=plist(launch_via="su"))
    assert words(got[2]) == [*BEGIN[:-1], "root"]


def test_unreadable_is_refused(commands: RunOperation) -> None:
    with pytest.raises(OperationError, match=f"launchctl print system/{LABEL}"):
        commands(daemon, {LaunchdJob: None}, executing=False, label=LABEL, plist=PLIST)
    got, _ = commands(daemon, {LaunchdJob: None}, label=LABEL, plist=PLIST)
    assert len(got) == 1
    assert isinstance(got[0], FunctionCommand)
    assert got[0].execute(fake_state(), FakeHost(), {}) is False  # type: ignore[arg-type]


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


# launchctl's answers


class Launchctl:
    """A launchctl with scripted exit statuses (0 when they run out) and the job it leads to."""

    def __init__(self, spawns: str | None = "bootstrap", loaded: bool = False, **codes: list[int]) -> None:
        self.spawns = spawns
        self.codes = codes
        self.job = replace(RUNNING, **NOT_RUNNING, loaded=loaded, runs=0)
        self.host: Any = FakeHost({LaunchdJob: lambda **_: self.job}, self.answer)

    def answer(self, told: list[str]) -> tuple[bool, list[str]]:
        assert told[0] == "launchctl"
        verb = told[1]
        code = self.codes[verb].pop(0) if self.codes.get(verb) else 0
        if code == 0:
            if verb in ("bootstrap", "bootout"):
                self.job = replace(self.job, loaded=verb == "bootstrap")
            if verb == self.spawns:
                self.job = replace(self.job, state="running", pid=312, runs=1)
        return code == 0, ["", f"{verb} failed: {code}: because", f"rc={code}"] if code else ["rc=0"]

    @property
    def verbs(self) -> list[list[str]]:
        return [each[1:] for each in self.host.told]

    def count(self, verb: str) -> int:
        return [each[0] for each in self.verbs].count(verb)

    def load(self) -> bool:
        return load_job(fake_state(), self.host, LABEL)

    def unload(self, seconds: int = 315) -> bool:
        return unload_job(fake_state(), self.host, LABEL, seconds)


ENABLE = ["enable", f"system/{LABEL}"]
BOOTSTRAP = ["bootstrap", "system", PATH]
KICKSTART = ["kickstart", f"system/{LABEL}"]


def test_load(clock: Clock) -> None:
    launchctl = Launchctl()
    assert launchctl.load()
    assert launchctl.verbs == [ENABLE, BOOTSTRAP]  # enabled first, or bootstrap answers 119
    assert clock.now == 1000
    assert launchctl.host.logged == []


@pytest.mark.parametrize("code", [5, 17, 36, 37])
def test_load_while_it_drains(clock: Clock, code: int) -> None:
    launchctl = Launchctl(bootstrap=[code, code, code])
    assert launchctl.load()
    assert launchctl.verbs == [ENABLE, *[BOOTSTRAP] * 4]


@pytest.mark.parametrize("code", [5, 36])
def test_load_for_ever(clock: Clock, code: int) -> None:
    launchctl = Launchctl(bootstrap=[code] * 1000)
    assert not launchctl.load()
    assert clock.now - 1000 <= 30
    assert all(each in launchctl.host.said for each in (str(code), f"system/{LABEL}", PATH))
    assert launchctl.count("kickstart") == 0


def test_loaded_meanwhile(clock: Clock) -> None:
    """5 means "already loaded" as well, if it is ours that is."""
    launchctl = Launchctl(bootstrap=[5] * 1000)

    def answer(told: list[str]) -> tuple[bool, list[str]]:
        if told[1] == "bootstrap":
            launchctl.job = RUNNING
        return Launchctl.answer(launchctl, told)

    launchctl.host.answer = answer
    assert launchctl.load()
    assert launchctl.count("bootstrap") == 1


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (119, "119"),
        (122, "root:wheel"),
        (155, "xattr -d com.apple.quarantine"),
        (161, "Login Items"),
        (3, "because"),
        (2, "because"),
        (111, "because"),
    ],
)
def test_load_refused(clock: Clock, code: int, says: str) -> None:
    launchctl = Launchctl(bootstrap=[code] * 1000)
    assert not launchctl.load()
    assert launchctl.count("bootstrap") <= 2
    assert clock.now - 1000 < 5
    assert str(code) in launchctl.host.said
    assert says in launchctl.host.said
    assert launchctl.count("kickstart") == 0


def test_enable_refused(clock: Clock) -> None:
    launchctl = Launchctl(enable=[150])
    assert not launchctl.load()
    assert launchctl.verbs == [ENABLE]
    assert "150" in launchctl.host.said


def test_never_spawned_is_kicked_once(clock: Clock) -> None:
    launchctl = Launchctl(spawns="kickstart")
    assert launchctl.load()
    assert launchctl.verbs == [ENABLE, BOOTSTRAP, KICKSTART]  # without -k
    launchctl = Launchctl(spawns=None)
    assert not launchctl.load()
    assert launchctl.count("kickstart") == 1
    assert clock.now - 1000 < 60
    assert f"launchctl print system/{LABEL}" in launchctl.host.said


def test_spawned_and_ended_is_spawned(clock: Clock) -> None:
    """How a start ends is not this operation's to judge."""
    launchctl = Launchctl(spawns=None)
    ended = replace(RUNNING, **NOT_RUNNING, runs=1, last_exit="1")
    launchctl.host.facts = {LaunchdJob: lambda **_: ended if launchctl.count("bootstrap") else ABSENT}
    assert launchctl.load()
    assert launchctl.verbs == [ENABLE, BOOTSTRAP]


def test_gone_at_kickstart(clock: Clock) -> None:
    launchctl = Launchctl(spawns=None, kickstart=[113] * 1000)
    assert not launchctl.load()
    assert launchctl.count("kickstart") == 1


def test_between_two_attempts_it_is_kicked_at_once(clock: Clock) -> None:
    launchctl = Launchctl(spawns="kickstart", loaded=True)
    assert launchctl.load()
    assert launchctl.verbs == [ENABLE, KICKSTART]
    assert clock.now == 1000


def test_a_shell_that_says_nothing(clock: Clock) -> None:
    launchctl = Launchctl()
    launchctl.host.answer = lambda told: (False, ["sudo: a password is required"])
    assert not launchctl.load()
    assert not launchctl.unload()
    assert "a password is required" in launchctl.host.said


@pytest.mark.parametrize("code", [0, 3, 36, 113])
def test_unload(clock: Clock, code: int) -> None:
    launchctl = Launchctl(loaded=True, bootout=[code])
    launchctl.job = replace(launchctl.job, loaded=False)
    assert launchctl.unload()
    assert launchctl.verbs == [["bootout", f"system/{LABEL}"]]


def test_unload_waits_for_the_end(clock: Clock) -> None:
    launchctl = Launchctl(loaded=True)
    draining = replace(RUNNING, state="SIGTERMed")
    unreadable = None
    states = [draining] * 100 + [unreadable] + [draining]
    launchctl.host.facts = {LaunchdJob: lambda **_: states.pop(0) if states else ABSENT}
    assert launchctl.unload()
    assert states == []  # what cannot be read is not gone
    assert clock.now - 1000 > 20
    assert launchctl.count("bootout") == 1


def test_unload_for_ever(clock: Clock) -> None:
    launchctl = Launchctl(loaded=True)
    launchctl.host.facts = {LaunchdJob: RUNNING}
    assert not launchctl.unload(seconds=20)
    assert 20 <= clock.now - 1000 < 25
    assert f"launchctl print system/{LABEL}" in launchctl.host.said


@pytest.mark.parametrize("code", [1, 5, 125, 150])
def test_unload_refused(clock: Clock, code: int) -> None:
    launchctl = Launchctl(loaded=True, bootout=[code])
    assert not launchctl.unload()
    assert str(code) in launchctl.host.said
    assert clock.now == 1000


# A daemon that runs now and then


PULSE = pulse_plist(Settings(homebrew_user="alice"))
PULSE_LABEL = f"{LABEL}.pulse"
TICKED = replace(
    RUNNING,
    state="not running",
    pid=None,
    path=plist_path(PULSE_LABEL),
    arguments=tuple(PULSE["ProgramArguments"]),
    environment={},
    username=None,
    runs=41,
    exit_timeout=10,
    run_interval=30,
    stdout_path=PULSE["StandardOutPath"],
    properties=("runatload",),
    plist_file=FileState("Regular File", 0, 0, "644", to_xml(PULSE)),
    launch_file=FileState("Regular File", 0, 0, "755", text("pulse")),
)


def pulse(commands: RunOperation, job: JobState) -> tuple[list[list[str]], FakeHost]:
    asked: dict[str, Any] = {}
    facts = {LaunchdJob: lambda **arguments: asked.update(arguments) or job}
    got, host = commands(daemon, facts, label=PULSE_LABEL, plist=PULSE, runs="pulse", what="the pulse")
    assert asked == {"label": PULSE_LABEL, "runs": "pulse"}
    return [words(each) for each in got], host


def test_between_two_runs_it_is_as_it_should_be(commands: RunOperation) -> None:
    told, host = pulse(commands, TICKED)
    assert told == []
    assert "41 times" in host.noops[0]


def test_its_script_is_its_own(commands: RunOperation) -> None:
    told, host = pulse(commands, ABSENT)
    assert told[0] == ["install-file", "/Library/ColimaPulse/pulse", "0755"]
    assert told[-1] == ["load_job"]
    assert "Start the pulse at boot and now" in host.said


def test_another_interval_is_a_reload(commands: RunOperation) -> None:
    told, host = pulse(commands, replace(TICKED, run_interval=60))
    assert ["unload_job"] in told
    assert "interval of 60 s" in host.said


def test_a_daemon_that_is_not_wanted(commands: RunOperation) -> None:
    def gone(job: JobState | None, *, executing: bool = True) -> tuple[list[list[str]], FakeHost]:
        got, host = commands(
            absent, {LaunchdJob: job}, executing=executing, label=PULSE_LABEL, what="the pulse"
        )
        return [words(each) for each in got], host

    remove = ["/bin/rm", "-rf", plist_path(PULSE_LABEL), milestones_path(PULSE_LABEL)]
    assert gone(TICKED)[0] == [["unload_job"], remove]
    assert gone(replace(ABSENT, plist_file=TICKED.plist_file))[0] == [remove]
    told, host = gone(ABSENT)
    assert (told, host.noops) == ([], [f"{PULSE_LABEL} is not there"])
    assert gone(None)[0] == [["_fail"]]
    with pytest.raises(OperationError):
        gone(None, executing=False)
    # launchd would remember for ever that it was disabled.
    enable = ["launchctl", "enable", f"system/{PULSE_LABEL}"]
    assert gone(replace(ABSENT, disabled=True, plist_file=TICKED.plist_file))[0] == [enable, remove]
    assert gone(replace(ABSENT, disabled=True))[0] == [enable, remove]


def test_what_it_supervises_ends_in_order(commands: RunOperation) -> None:
    got, _ = commands(absent, {LaunchdJob: RUNNING}, label=LABEL, before_unload=BEFORE, after_unload=AFTER)
    assert [words(each)[0] for each in got] == ["before", "unload_job", "after", "/bin/rm"]
    got, _ = commands(absent, {LaunchdJob: STOPPED}, label=LABEL, before_unload=BEFORE, after_unload=AFTER)
    assert [words(each)[0] for each in got] == ["launchctl", "/bin/rm"]


# Stopped on purpose, and started again

BEFORE, AFTER = StringCommand("before"), StringCommand("after")
UNLOADED = replace(ABSENT, plist_file=RUNNING.plist_file, launch_file=RUNNING.launch_file)
STOPPED = replace(UNLOADED, disabled=True)
THE_PLIST = FileState("Regular File", 0, 0, "644", to_xml(PLIST))


def stop(commands: RunOperation, job: JobState | None) -> tuple[list[Any], FakeHost]:
    return commands(stopped, {LaunchdJob: job}, label=LABEL, before_unload=BEFORE, after_unload=AFTER)


class Told:
    """A launchd that remembers what it is told; `fails` is what does not work."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.host = FakeHost({LaunchdJob: lambda **_: STOPPED}, answer=self.answer)

    def answer(self, words: list[str]) -> tuple[bool, list[str]]:
        code = 1 if self.fails in words and words[0] == "launchctl" else 0
        return self.fails not in words or words[0] == "launchctl", [f"rc={code}"]

    @property
    def told(self) -> list[str]:
        return [words[1] if words[0] == "launchctl" else words[0] for words in self.host.told]


def test_stopped_in_order_and_so_that_no_boot_starts_it(commands: RunOperation) -> None:
    (command,), host = stop(commands, RUNNING)
    assert isinstance(command, FunctionCommand)
    assert "Stop Colima, and keep it stopped over reboots" in host.said
    launchd_ = Told()
    assert command.function(fake_state(), launchd_.host, *command.args)
    assert launchd_.told == ["hold", "disable", "before", "bootout", "after", "hold"]
    held = [words[2] for words in launchd_.host.told if words[0] == "hold"]
    assert held == [str(2 * (300 + 15)), "0"]
    assert "until deploys/start.py or deploy.py starts it" in launchd_.host.said


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        ("disable", ["hold", "disable", "hold"]),
        ("bootout", ["hold", "disable", "before", "bootout", "hold"]),
        ("after", ["hold", "disable", "before", "bootout", "after", "hold"]),
    ],
)
def test_a_stop_that_fails_promises_nothing(commands: RunOperation, fails: str, told: list[str]) -> None:
    (command,), _ = stop(commands, RUNNING)
    launchd_ = Told(fails)
    assert command.function(fake_state(), launchd_.host, *command.args) is False
    assert launchd_.told == told
    assert "stays stopped" not in launchd_.host.said


def test_stopped_already(commands: RunOperation) -> None:
    got, host = stop(commands, STOPPED)
    assert (got, host.noops) == ([], ["Colima is stopped already"])
    got, host = stop(commands, ABSENT)
    assert (got, host.noops) == ([], [f"{LABEL} is not there"])
    assert launchd.describe_stop(STOPPED, LABEL) is None


def test_what_a_boot_would_start_is_disabled(commands: RunOperation) -> None:
    got, host = stop(commands, UNLOADED)
    assert [words(each) for each in got] == [["launchctl", "disable", f"system/{LABEL}"]]
    assert "a boot would load it" in host.said


def test_a_disabled_job_that_runs_is_stopped(commands: RunOperation) -> None:
    got, _ = stop(commands, replace(RUNNING, disabled=True))
    assert [words(each) for each in got] == [["_stop"]]


def start(commands: RunOperation, job: JobState | None, **options: Any) -> tuple[list[list[str]], FakeHost]:
    got, host = commands(started, {LaunchdJob: job}, label=LABEL, **options)
    return [words(each) for each in got], host


def test_started(commands: RunOperation) -> None:
    begin = ["begin", milestones_path(LABEL), "/var/log/colima.log", "alice"]
    told, host = start(commands, STOPPED)
    assert told == [begin, ["load_job"]]
    assert "is not loaded, disabled" in host.said
    told, host = start(commands, replace(RUNNING, pid=None, state="spawn scheduled", last_exit="1"))
    assert told == [begin, ["load_job"]]
    assert "not running (last exit: 1)" in host.said


def test_started_already(commands: RunOperation) -> None:
    told, host = start(commands, RUNNING)
    assert (told, host.noops) == ([], [f"{LABEL} is loaded and runs (pid 312)"])


def test_a_job_that_runs_is_enabled_without_a_restart(commands: RunOperation) -> None:
    """And what was noted of its start stays."""
    told, host = start(commands, replace(RUNNING, disabled=True))
    assert told == [["load_job"]]
    assert host.said == f"Start Colima: LaunchDaemon {LABEL} is disabled"


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (ABSENT, "never been deployed"),
        (replace(STOPPED, plist_file=replace(THE_PLIST, text=None)), "plist cannot be read"),
        (replace(STOPPED, plist_file=replace(THE_PLIST, uid=501)), "not as a deploy leaves"),
        (replace(STOPPED, launch_file=None), "not as a deploy leaves"),
    ],
)
def test_what_only_a_deploy_can_start(commands: RunOperation, job: JobState, why: str) -> None:
    assert why in str(launchd.unstartable(job))
    assert "run deploy.py" in str(launchd.describe_start(job, LABEL))
    assert start(commands, job)[0] == [["_fail"]]
    with pytest.raises(OperationError, match=r"Run deploy\.py"):
        start(commands, job, executing=False)


@pytest.mark.parametrize("operation", [stopped, started, absent])
def test_a_launchd_that_is_not_heard_is_told_nothing(commands: RunOperation, operation: Any) -> None:
    got, _ = commands(operation, {LaunchdJob: None}, label=LABEL)
    assert [words(each) for each in got] == [["_fail"]]
