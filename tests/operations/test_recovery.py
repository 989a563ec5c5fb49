"""What ails Docker, told from what is; the steps in their order, each bounded; and what is never touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand, OperationError
from pyinfra.context import ctx_host, ctx_state

from facts.colima import ColimaProfile, Guest, GuestState, Log, LogPart, ProfileState
from facts.docker import DockerEngine, EngineState
from facts.launchd import JobState, LaunchdJob, plist_path
from facts.mac import ProcessAge
from operations import recovery
from operations.recovery import (
    DOCKER,
    HARD,
    JOB,
    KICK,
    PATIENCE,
    Diagnosis,
    Service,
    describe,
    diagnose,
    is_up,
    observe,
    recover,
    recovered,
)
from settings import Settings
from tests.conftest import RunOperation
from tests.fakes import Answer, Clock, FakeHost, Series, fake_state, words

LABEL = "homebrew.mrcee.colima-pulse"
LOG = "/var/log/colima.log"
TARGET = f"system/{LABEL}"
SERVICE = Service(
    "alice", "default", LABEL, LOG, restart_seconds=120, api_seconds=180, required=2, secrets=("hunter2",)
)

GOOD = EngineState("/s", True, None, "28.4.0", {})
HALF = replace(GOOD, containers=None)
EOF = EngineState("/s", True, "curl: (52) Empty reply from server")
JOB_RUNS = JobState(
    loaded=True, disabled=False, state="running", pid=312, runs=1, path=plist_path(LABEL), last_exit="1"
)
NO_PID = replace(JOB_RUNS, state="spawn scheduled", pid=None)
GONE = JobState(loaded=False, disabled=False)
AGAIN = replace(JOB_RUNS, pid=400, runs=2)
RUNNING = ProfileState(
    home="/Users/alice",
    instance="colima",
    state_dir=True,
    other_dir=None,
    data_disk=True,
    provisioned=True,
    status="Running",
    vm_type="qemu",
)
STOPPED = replace(RUNNING, status="Stopped")
WELL = GuestState(True, "active", "active")
DEAD = GuestState(True, "failed", "active")
DEAF = GuestState(False)
UP = ('time="x" level=info msg="starting colima"', 'msg="keeping Colima in the foreground, press ..."')


# The diagnosis


@pytest.mark.parametrize(
    ("job", "profile", "engine", "guest", "found", "steps"),
    [
        (JOB_RUNS, RUNNING, EOF, DEAD, "docker is failed", (DOCKER, JOB, HARD)),
        (JOB_RUNS, RUNNING, EOF, replace(WELL, docker="activating"), "is activating", (DOCKER, JOB, HARD)),
        (JOB_RUNS, RUNNING, EOF, replace(WELL, containerd="failed"), "containerd is", (DOCKER, JOB, HARD)),
        (JOB_RUNS, RUNNING, None, DEAD, "docker is failed", (DOCKER, JOB, HARD)),
        # The daemon is heard, and not well.
        (JOB_RUNS, RUNNING, HALF, WELL, "cannot list", (DOCKER, JOB, HARD)),
        # The daemon is well, and not heard.
        (JOB_RUNS, RUNNING, EOF, WELL, "way to it is broken", (JOB, HARD)),
        (JOB_RUNS, RUNNING, None, WELL, "way to it is broken", (JOB, HARD)),
        # What systemd says cannot be read: it is not known that Docker is what is down.
        (JOB_RUNS, RUNNING, EOF, GuestState(True), "unknown state", (JOB, HARD)),
        (JOB_RUNS, RUNNING, EOF, DEAF, "guest does not answer", (JOB, HARD)),
        (JOB_RUNS, RUNNING, EOF, None, "guest does not answer", (JOB, HARD)),
        (JOB_RUNS, STOPPED, EOF, DEAF, "Lima: Stopped", (JOB, HARD)),
        (JOB_RUNS, replace(RUNNING, status="Broken"), EOF, DEAF, "Lima: Broken", (JOB, HARD)),
        (JOB_RUNS, replace(RUNNING, status=None), EOF, DEAF, "no instance", (JOB, HARD)),
        # A guest that answers does not count where Lima says that there is none.
        (JOB_RUNS, STOPPED, EOF, DEAD, "Lima: Stopped", (JOB, HARD)),
        # Unreadable is a failure, not absence.
        (JOB_RUNS, None, EOF, None, "Lima: unknown", (JOB, HARD)),
        (JOB_RUNS, None, None, None, "cannot be read", (JOB, HARD)),
        (NO_PID, STOPPED, EOF, DEAF, "last exit: 1", (KICK, HARD)),
        (NO_PID, RUNNING, EOF, WELL, "does not run", (KICK, HARD)),
    ],
)
def test_what_can_help(
    job: JobState,
    profile: ProfileState | None,
    engine: EngineState | None,
    guest: GuestState | None,
    found: str,
    steps: tuple[str, ...],
) -> None:
    diagnosis = diagnose(job, profile, engine, guest)
    assert found in diagnosis.found
    assert diagnosis == Diagnosis(diagnosis.found, steps)
    described = describe(diagnosis)
    assert described is not None
    assert described.startswith(f"Recover: {recovery.WORDS[steps[0]]}; failing that, ")
    assert all(recovery.WORDS[step] in described for step in steps)


@pytest.mark.parametrize("job", [None, JOB_RUNS, GONE])
def test_a_good_docker_needs_nothing(job: JobState | None) -> None:
    diagnosis = diagnose(job, None, GOOD, None, starting=True)
    assert diagnosis == Diagnosis(diagnosis.found, good=True)
    assert describe(diagnosis) is None


@pytest.mark.parametrize("starting", [True, False])
@pytest.mark.parametrize(
    ("job", "profile", "found"),
    [
        (None, RUNNING, "cannot be read"),
        (GONE, STOPPED, "not loaded, perhaps on purpose: run deploys/start.py"),
        (replace(GONE, disabled=True), STOPPED, "disabled, perhaps on purpose: run deploys/start.py"),
        (replace(JOB_RUNS, disabled=True), RUNNING, "disabled, perhaps on purpose: run deploys/start.py"),
        (JOB_RUNS, replace(STOPPED, provisioned=False), "never come up: run deploy.py"),
        (NO_PID, replace(STOPPED, provisioned=False), "never come up: run deploy.py"),
    ],
)
def test_what_is_refused(job: JobState | None, profile: ProfileState, found: str, starting: bool) -> None:
    diagnosis = diagnose(job, profile, EOF, DEAD, starting=starting)
    assert found in diagnosis.found
    assert diagnosis == Diagnosis(diagnosis.found, refused=True)
    assert str(describe(diagnosis)).startswith("Refuse: ")


@pytest.mark.parametrize("profile", [RUNNING, STOPPED, None])
@pytest.mark.parametrize("guest", [WELL, DEAD, DEAF, None])
def test_a_start_is_waited_for(profile: ProfileState | None, guest: GuestState | None) -> None:
    diagnosis = diagnose(JOB_RUNS, profile, EOF, guest, starting=True)
    assert diagnosis == Diagnosis(diagnosis.found, passing=True)
    assert str(describe(diagnosis)).startswith("Wait: ")


def test_a_job_that_launchd_is_ending_is_waited_for() -> None:
    diagnosis = diagnose(replace(JOB_RUNS, state="SIGTERMed"), RUNNING, EOF, DEAD)
    assert diagnosis == Diagnosis(diagnosis.found, passing=True)
    assert str(describe(diagnosis)).startswith("Wait: ")


def test_a_job_without_a_process_is_not_starting() -> None:
    assert diagnose(NO_PID, STOPPED, EOF, DEAF, starting=True).steps == (KICK, HARD)


@pytest.mark.parametrize(
    ("log", "up"),
    [((), False), (UP, True), (UP[:1], False), (UP[1:], True), ((*UP, UP[0]), False), ((*UP, "x"), True)],
)
def test_is_up(log: tuple[str, ...], up: bool) -> None:
    assert is_up(log) is up


# A host to recover

Launchctl = Callable[[list[str]], int]


@pytest.fixture(autouse=True)
def contexts(clock: Clock) -> Iterator[None]:
    yield
    ctx_host.reset()
    ctx_state.reset()


def a_host(answer: Callable[[list[str]], Answer] | None = None, **facts: Any) -> Any:
    known: dict[str, Any] = {
        "job": JOB_RUNS,
        "profile": RUNNING,
        "engine": EOF,
        "guest": WELL,
        "log": LogPart(9, UP),
        "age": 5000,
    }
    known |= facts

    def answers(told: list[str]) -> Answer:
        if answer is not None and (given := answer(told)) != (True, []):
            return given
        return True, ["rc=0"] if told[0] == "launchctl" else []

    return FakeHost(
        {
            LaunchdJob: known["job"],
            ColimaProfile: known["profile"],
            DockerEngine: known["engine"],
            Guest: known["guest"],
            Log: known["log"],
            ProcessAge: known["age"],
        },
        answers,
    )


def run_recover(host: Any) -> bool:
    with ctx_host.use(host):
        return recover(fake_state(), host, SERVICE)


def verbs(host: Any) -> list[str]:
    """What was done, in short, but for the pulse that is told to hold still meanwhile."""
    return [
        " ".join(each[1:]) if each[0] == "launchctl" else each[0] for each in host.told if each[0] != "hold"
    ]


class Mended:
    """A fact that is good from when something was done on."""

    def __init__(self, done: str, bad: Any = EOF, good: Any = GOOD) -> None:
        self.done, self.bad, self.good = done, bad, good
        self.host: Any = None

    def __call__(self, **_: Any) -> Any:
        return self.good if any(self.done in verb for verb in verbs(self.host)) else self.bad


def mended_by(done: str, **facts: Any) -> Any:
    """A host whose Docker is good again once `done` was done; other facts may be Mended as well."""
    facts = {"engine": Mended(done)} | facts
    host = a_host(**facts)
    for value in facts.values():
        if isinstance(value, Mended):
            value.host = host
    return host


def test_the_service_that_settings_describe() -> None:
    described = Settings(
        homebrew_user="bob",
        colima_profile="work",
        label="a.b",
        log_path="/l",
        wait_qemu_max=1,
        wait_docker_api_max=2,
        wait_stable_required=3,
    )
    expected = Service(
        "bob", "work", "a.b", "/l", restart_seconds=1, api_seconds=2, required=3, secrets=("s",)
    )
    assert Service.of(described, ("s",)) == expected


def test_a_good_docker_is_left_alone(clock: Clock) -> None:
    host = a_host(engine=GOOD)
    assert run_recover(host)
    assert verbs(host) == ["note"]  # that the gate was passed
    assert clock.now == 1001
    assert "Docker answers well" in host.said


def test_a_passing_trouble_passes(clock: Clock) -> None:
    host = a_host(engine=Series(EOF, EOF, EOF, GOOD), guest=DEAD)
    assert run_recover(host)
    assert verbs(host) == ["note"]
    assert clock.now - 1000 < PATIENCE


def test_docker_in_the_guest_is_restarted_and_nothing_else(clock: Clock) -> None:
    host = mended_by("restart-docker", guest=DEAD)
    assert run_recover(host)
    assert verbs(host) == ["restart-docker", "note"]
    take, restart, _, let_go = host.ran
    assert take.words == ["hold", LABEL, "1800", "deploy"]
    assert let_go.words == ["hold", LABEL, "0", "deploy"]
    assert restart.words == ["restart-docker", "alice", "default", "60"]
    assert restart.live
    assert "docker is failed" in host.said
    assert host.logged[-1] == "Docker is back. What helped: restart Docker in the guest"
    assert clock.now - 1000 < 30


def test_the_job_is_told_to_end_and_kicked_past_its_throttle() -> None:
    host = mended_by("kickstart")

    def job(**_: Any) -> JobState:
        if f"kill TERM {TARGET}" not in verbs(host):
            return JOB_RUNS
        return AGAIN if f"kickstart {TARGET}" in verbs(host) else NO_PID

    host.facts[LaunchdJob] = job
    assert run_recover(host)
    assert verbs(host) == [f"kill TERM {TARGET}", f"enable {TARGET}", f"kickstart {TARGET}", "note"]
    assert "-k" not in str(host.told)


@pytest.mark.parametrize(("guest", "bound"), [(WELL, 240), (DEAF, 30), (None, 30)])
def test_a_job_that_does_not_end_is_reloaded_hard(clock: Clock, guest: GuestState | None, bound: int) -> None:
    times: list[float] = []
    host = mended_by("bootstrap", guest=guest)
    answer = host.answer

    def timed(told: list[str]) -> Answer:
        if told[0] != "hold":
            times.append(clock.now)
        result: Answer = answer(told)
        return result

    def job(**_: Any) -> JobState:
        done = verbs(host)
        if f"bootstrap system {plist_path(LABEL)}" in done:
            return AGAIN
        return GONE if "sweep-profile" in done else JOB_RUNS

    host.answer, host.facts[LaunchdJob] = timed, job
    assert run_recover(host)
    assert verbs(host) == [
        f"kill TERM {TARGET}",
        f"bootout {TARGET}",
        "sweep-profile",
        f"kill KILL {TARGET}",
        f"bootout {TARGET}",
        f"enable {TARGET}",
        f"bootstrap system {plist_path(LABEL)}",
        "note",
    ]
    assert bound <= times[1] - times[0] <= bound + 1
    assert 15 <= times[2] - times[1] <= 16
    assert f"does not end within {bound} s" in host.said
    assert "What helped: end Colima and its VM" in host.said


def test_the_job_is_loaded_again_whatever_stays() -> None:
    """The sweep fails, and launchd says of the bootout what nobody knows."""
    host = mended_by("bootstrap", guest=DEAF)
    answer = host.answer

    def fails(told: list[str]) -> Answer:
        if told[0] == "sweep-profile":
            return False, ["4711 refuses to go"]
        return (True, ["what?", "rc=99"]) if "bootout" in told else answer(told)

    def job(**_: Any) -> JobState:
        done = verbs(host)
        if f"bootstrap system {plist_path(LABEL)}" in done:
            return AGAIN
        return GONE if "sweep-profile" in done else JOB_RUNS

    host.answer, host.facts[LaunchdJob] = fails, job
    assert run_recover(host)
    assert verbs(host)[-2:] == [f"bootstrap system {plist_path(LABEL)}", "note"]


def test_it_is_loaded_again_even_when_the_connection_breaks() -> None:
    def breaks(told: list[str]) -> Answer:
        if told[0] == "sweep-profile":
            raise OSError("gone")
        return True, []

    host = a_host(breaks, guest=DEAF)
    host.facts[LaunchdJob] = lambda **_: GONE if f"bootout {TARGET}" in verbs(host) else JOB_RUNS
    with pytest.raises(OSError, match="gone"):
        run_recover(host)
    assert f"bootstrap system {plist_path(LABEL)}" in verbs(host)


def test_between_two_attempts_it_is_kicked() -> None:
    host = mended_by("kickstart", job=Mended("kickstart", NO_PID, AGAIN))
    assert run_recover(host)
    assert verbs(host) == [f"enable {TARGET}", f"kickstart {TARGET}", "note"]


def test_each_step_in_its_order_and_its_bound(clock: Clock) -> None:
    host = a_host(guest=DEAD)
    answer, times = host.answer, []

    def timed(told: list[str]) -> Answer:
        if told[0] != "hold":
            times.append(clock.now)
        result: Answer = answer(told)
        return result

    host.answer = timed
    assert not run_recover(host)
    done = verbs(host)
    assert 25 <= times[1] - times[0] <= 27, "a restart of Docker alone shows soon"
    order = [done.index(verb) for verb in ("restart-docker", f"kill TERM {TARGET}", f"bootout {TARGET}")]
    assert order == sorted(order)
    assert clock.now - 1000 < PATIENCE + 25 + 240 + 300 + 15 + 30 + 20 + 10 + 300 + 60
    assert "diagnose" in done
    where = next(line for line in host.logged if "diagnostics/mini-" in line)
    assert host.logged.index(where) < len(host.logged) - 1
    assert "none of it helped: restart Docker in the guest; stop Colima" in host.logged[-1]
    assert "docker is failed" in host.logged[-1]


def test_a_step_that_cannot_be_taken_is_not_waited_for(clock: Clock) -> None:
    host = mended_by("kill TERM", guest=DEAD, job=Mended("kill TERM", JOB_RUNS, AGAIN))
    answer = host.answer
    host.answer = lambda told: (False, ["no"]) if told[0] == "restart-docker" else answer(told)
    assert run_recover(host)
    assert clock.now - 1000 < 20


@pytest.mark.parametrize(
    "out", [GONE, replace(JOB_RUNS, disabled=True), None], ids=["booted out", "disabled", "unreadable"]
)
def test_a_job_taken_away_meanwhile_is_left_alone(out: JobState | None) -> None:
    host = mended_by("nothing", guest=DEAD)
    host.facts[LaunchdJob] = lambda **_: out if "restart-docker" in verbs(host) else JOB_RUNS
    assert not run_recover(host)
    assert verbs(host) == ["restart-docker", "diagnose"]
    assert "left alone" in host.said


@pytest.mark.parametrize("out", [GONE, None])
def test_refused_at_once(clock: Clock, out: JobState | None) -> None:
    host = a_host(job=out)
    assert not run_recover(host)
    assert host.told == []
    assert clock.now == 1000


def test_a_start_under_way_is_awaited_and_not_disturbed(clock: Clock) -> None:
    host = a_host(engine=Series(*[EOF] * 100, GOOD), profile=STOPPED, log=LogPart(9, UP[:1]), age=20)
    assert run_recover(host)
    assert verbs(host) == ["note"]
    assert 50 < clock.now - 1000 <= 300


def test_a_start_that_another_hand_has_brought_about_is_awaited(clock: Clock) -> None:
    """The pulse had begun its step before it was told to hold still."""
    host = a_host(engine=lambda **_: GOOD if clock.now > 1060 else EOF, profile=STOPPED, age=3)
    host.facts[LaunchdJob] = Series(NO_PID, NO_PID, JOB_RUNS)
    assert run_recover(host)
    assert verbs(host) == ["note"]
    assert "Colima is still starting" in host.said


def test_a_start_is_waited_for_no_longer_than_it_takes(clock: Clock) -> None:
    """Docker died while Colima was still starting, and Colima has come to the end of its start."""
    host = mended_by("restart-docker", guest=DEAD, age=30)
    host.facts[Log] = lambda **_: LogPart(9, UP if clock.now > 1050 else UP[:1])
    assert run_recover(host)
    assert "Colima is still starting" in host.said
    assert verbs(host) == ["restart-docker", "note"]
    assert 50 < clock.now - 1000 < 120


def test_a_start_is_not_waited_for_for_ever(clock: Clock) -> None:
    host = a_host(profile=STOPPED, log=LogPart(9, UP[:1]), age=30)
    assert not run_recover(host)
    assert "nothing to restart" in host.logged[-1]
    assert 300 <= clock.now - 1000 < 360


def test_the_pulse_holds_still_from_the_beginning(clock: Clock) -> None:
    host = a_host(engine=Series(EOF, GOOD))
    assert run_recover(host)
    assert [each.words[2] for each in host.ran if each.words[0] == "hold"] == ["1800", "0"]


@pytest.mark.parametrize(
    ("age", "log", "starting"),
    [
        (299, LogPart(9, UP[:1]), True),
        (300, LogPart(9, UP[:1]), False),
        (299, LogPart(9, UP), False),
        (299, None, True),
        (None, None, False),
        # Of a process that has just begun the log says nothing yet.
        (9, LogPart(9, UP), True),
        (10, LogPart(9, UP), False),
    ],
)
def test_young(age: int | None, log: LogPart | None, starting: bool) -> None:
    host = a_host(age=age, log=log, profile=STOPPED)
    with ctx_host.use(host):
        assert observe(host, SERVICE).passing is starting


def test_flapping_restarts_nothing(clock: Clock) -> None:
    """Well whenever it is looked at, and never twice in a row."""
    looks = (1000, 1000 + PATIENCE, 1000 + 2 * PATIENCE)
    host = a_host(engine=lambda **_: GOOD if clock.now in looks else EOF)
    assert not run_recover(host)
    assert verbs(host) == ["diagnose"]
    assert "nothing to restart" in host.logged[-1]


# The operation


def facts(**changes: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = a_host(**changes).facts
    return found


def test_noop(commands: RunOperation) -> None:
    got, host = commands(recovered, facts(engine=GOOD), service=SERVICE)
    assert got == []
    assert host.noops == ["Docker answers well"]


def test_needed(commands: RunOperation) -> None:
    got, _ = commands(recovered, facts(), service=SERVICE)
    (command,) = got
    assert isinstance(command, FunctionCommand)
    assert (command.function, command.args) == (recover, (SERVICE,))
    assert "hunter2" not in repr(got)


def test_refusal(commands: RunOperation) -> None:
    with pytest.raises(OperationError, match="run deploy"):
        commands(recovered, facts(job=GONE), executing=False, service=SERVICE)
    got, _ = commands(recovered, facts(job=GONE), service=SERVICE)
    assert [words(each) for each in got] == [["_fail"]]


@pytest.mark.parametrize(
    ("read", "hosts", "changes", "name", "logged"),
    [
        (False, 1, {}, recovery.KEEP, False),
        (True, 1, {"engine": GOOD}, recovery.KEEP, False),
        (True, 1, {"guest": DEAD}, "Recover: restart Docker in the guest", False),
        (True, 2, {"guest": DEAD}, recovery.KEEP, True),
    ],
)
def test_forecast(read: bool, hosts: int, changes: dict[str, Any], name: str, logged: bool) -> None:
    host = a_host(**changes)
    state = SimpleNamespace(
        should_check_for_changes=lambda: read, limit_hosts=range(hosts), is_executing=False
    )
    with ctx_state.use(state), ctx_host.use(host):
        assert recovery.forecast(SERVICE).startswith(name)
    assert bool(host.logged) is logged
