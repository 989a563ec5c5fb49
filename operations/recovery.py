"""
Bring a Docker that worked before back: see what ails it, then take the smallest step that can help.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, operation

from facts.colima import RUNNING, ColimaProfile, Guest, GuestState, Log, ProfileState
from facts.docker import DockerEngine, EngineState
from facts.launchd import NO_SUCH_PROCESS, JobState, LaunchdJob
from facts.mac import ProcessAge
from files import script
from operations import colima, diagnostics, docker
from operations.launchd import hold, launchctl, load_job, unload_job
from operations.util.remote import (
    Commands,
    ask,
    fail,
    hosts_of_run,
    is_read,
    refuse,
    run,
    together,
    wait,
)
from settings import Settings

KEEP = "Keep Docker answering"
ACTIVE = "active"

# What `colima start --foreground` logs when it begins, and when it is up (colima cmd/start.go).
BEGINS = "starting colima"
IS_UP = "keeping Colima in the foreground"

# The steps, from the smallest on, and what a person is told of each.
DOCKER, KICK, JOB, HARD = "docker", "kick", "job", "hard"
WORDS = {
    DOCKER: "restart Docker in the guest",
    KICK: "have launchd start Colima now",
    JOB: "stop Colima in order and have launchd start it again",
    HARD: "end Colima and its VM, and start them again",
}

# How long an ailment may take to pass by itself: dockerd may be restarting.
PATIENCE = 10
# How long Colima may take to say that it begins: until then the log ends with the start before.
SILENT_SECONDS = 10
# How long Docker in the guest may take to restart, and then to answer.
DOCKER_RESTART_SECONDS = 60
DOCKER_SECONDS = 25
# How long Colima may take to end once told to: for ever, if its guest is deaf.
DEAF_STOP_SECONDS = 30
# How long launchd may take to end a job in order, before its processes are ended.
BOOTOUT_SECONDS = 15
LET_GO_SECONDS = 30
# How long the pulse leaves the job alone at most, should the end of a recovery never come.
HOLD_SECONDS = 1800


@dataclass(frozen=True)
class Service:
    """One profile's Docker, and what to expect of it.

    A start may take `restart_seconds` until Lima says Running, and `api_seconds` more until Docker answers;
    it is ready after `required` good answers in a row. `secrets` are what diagnostics must not show.
    """

    user: str
    profile: str
    label: str
    log_path: str
    restart_seconds: int = 120
    api_seconds: int = 180
    required: int = 5
    secrets: Sequence[str] = field(default=(), repr=False)

    @classmethod
    def of(cls, settings: Settings, secrets: Sequence[str]) -> Service:
        """The Docker that these settings describe."""
        return cls(
            settings.homebrew_user,
            settings.colima_profile,
            settings.label,
            settings.log_path,
            restart_seconds=settings.wait_qemu_max,
            api_seconds=settings.wait_docker_api_max,
            required=settings.wait_stable_required,
            secrets=secrets,
        )

    @property
    def start_seconds(self) -> int:
        return self.restart_seconds + self.api_seconds

    @property
    def where(self) -> dict[str, str]:
        """The arguments of the facts about its profile."""
        return {"user": self.user, "profile": self.profile}

    def see_ready(self, state: State, host: Host, seconds: int) -> list[str]:
        """Await that Docker is ready; why it is not, in lines, or none."""
        return docker.see_ready(
            state, host, self.user, self.profile, self.label, seconds, seconds, self.required
        )

    def give_up(self, state: State, host: Host, *lines: str) -> bool:
        """Fail for good: collect diagnostics, and say why last. Returns False."""
        diagnostics.collect(state, host, self.user, self.profile, self.label, self.log_path, self.secrets)
        return fail(host, *lines)


@dataclass(frozen=True)
class Diagnosis:
    """What was found, in words, and the steps that can help, from the smallest on.

    Without steps it is `good`, or `passing` by itself, or for a deploy and not for a recovery: `refused`.
    """

    found: str
    steps: tuple[str, ...] = ()
    good: bool = False
    passing: bool = False
    refused: bool = False


def is_up(log: Iterable[str]) -> bool:
    """Whether the last start in Colima's log has come to its end; False also where it cannot be told."""
    up = False
    for line in log:
        if BEGINS in line:
            up = False
        elif IS_UP in line:
            up = True
    return up


def diagnose(
    job: JobState | None,
    profile: ProfileState | None,
    engine: EngineState | None,
    guest: GuestState | None,
    *,
    starting: bool = False,
) -> Diagnosis:
    """Judge from what is what ails Docker and what can help. A pure function.

    What cannot be read has failed, and is not absent; without launchd's answer nothing may be touched.
    `starting`: the job's process is young, and its start has not come to its end.
    """
    if docker.is_good(engine):
        return Diagnosis("Docker answers well", good=True)
    silence = f"Docker does not answer well: {docker.why_not(engine)}"
    if job is None:
        return Diagnosis(f"{silence}; launchd's answer about the job cannot be read", refused=True)
    if job.disabled or not job.loaded:
        why = "is disabled" if job.disabled else "is not loaded"
        return Diagnosis(f"{silence}; the job {why}, perhaps on purpose: run deploys/start.py", refused=True)
    if profile is not None and not profile.provisioned:
        return Diagnosis(f"{silence}; the profile has never come up: run deploy.py", refused=True)
    if job.pid is None:
        return Diagnosis(
            f"{silence}; Colima does not run (last exit: {job.last_exit or 'unknown'})", (KICK, HARD)
        )
    if not job.running:
        return Diagnosis(f"{silence}; launchd is ending the job", passing=True)
    lima = (profile.status or "no instance") if profile is not None else "unknown"
    if starting:
        return Diagnosis(f"{silence}; Colima is still starting (Lima: {lima})", passing=True)
    if lima != RUNNING:
        return Diagnosis(f"{silence}; Colima's process runs without its VM (Lima: {lima})", (JOB, HARD))
    if guest is None or not guest.answers:
        return Diagnosis(f"{silence}; the guest does not answer either", (JOB, HARD))
    units = {"docker": guest.docker, "containerd": guest.containerd}
    down = [f"{unit} is {word}" for unit, word in units.items() if word not in (None, ACTIVE)]
    if down:
        return Diagnosis(f"{silence}; in the guest {' and '.join(down)}", (DOCKER, JOB, HARD))
    if engine is not None and engine.answers:
        return Diagnosis(f"{silence}; the guest is well", (DOCKER, JOB, HARD))
    word = guest.docker or "in an unknown state"
    return Diagnosis(
        f"{silence}; in the guest Docker is {word}, so the way to it is broken",
        (JOB, HARD),
    )


def describe(diagnosis: Diagnosis) -> str | None:
    """What would be done and why, for a person who reads `--dry`; None: nothing."""
    if diagnosis.good:
        return None
    if diagnosis.refused:
        return f"Refuse: {diagnosis.found}"
    if diagnosis.passing:
        return f"Wait: {diagnosis.found}"
    first, *more = (WORDS[step] for step in diagnosis.steps)
    return f"Recover: {first}" + "".join(f"; failing that, {step}" for step in more) + f" ({diagnosis.found})"


def observe(host: Host, service: Service) -> Diagnosis:
    """Look at the host and judge; a process younger than a start may take may still be starting."""
    engine = ask(DockerEngine, **service.where)
    if docker.is_good(engine):
        return diagnose(None, None, engine, None)
    job, profile, guest, log = together(
        (LaunchdJob, {"label": service.label}),
        (ColimaProfile, service.where),
        (Guest, service.where),
        (Log, {"path": service.log_path}),
    )
    age = host.get_fact(ProcessAge, pid=job.pid) if job is not None and job.pid is not None else None
    young = age is not None and age < service.start_seconds
    silent = age is not None and age < SILENT_SECONDS
    starting = young and (silent or not is_up(log.lines if log is not None else ()))
    return diagnose(job, profile, engine, guest, starting=starting)


def _still_wanted(host: Host, label: str) -> JobState | None:
    """The job, if it is loaded and enabled: one that an operator has booted out meanwhile stays out."""
    job: JobState | None = host.get_fact(LaunchdJob, label=label)
    return job if job is not None and job.loaded and not job.disabled else None


def _restart_job(state: State, host: Host, label: str, job: JobState, seconds: int) -> bool:
    """TERM to the job, so that Colima stops the guest in order, and launchd's next start of it, which the
    throttle does not hold back."""
    status, said = launchctl(state, host, "kill", "TERM", f"system/{label}")
    if status not in (0, NO_SUCH_PROCESS):
        host.log(f"launchctl kill TERM system/{label}: {status}: {said}")
        return False

    def ended() -> bool | None:
        now = host.get_fact(LaunchdJob, label=label)
        return True if now is not None and now.pid != job.pid else None

    if wait(host, seconds, ended, "Colima to end", pause=0.5) is None:
        host.log(f"Colima does not end within {seconds} s")
        return False
    return _still_wanted(host, label) is not None and load_job(state, host, label)


def _reload_job(state: State, host: Host, service: Service) -> bool:
    """Unload the job, end what is left of it by verified pids, and load it again, whatever comes between."""
    target = f"system/{service.label}"

    def let_go() -> bool | None:
        job = host.get_fact(LaunchdJob, label=service.label)
        return True if job is not None and not job.loaded else None

    try:
        launchctl(state, host, "bootout", target)
        wait(host, BOOTOUT_SECONDS, let_go, f"{service.label} to end", pause=0.5)
        run(state, host, colima.sweep_command(service.user, service.profile), live=True)
        # What launchd itself waits for, whatever it has become.
        launchctl(state, host, "kill", "KILL", target)
        unload_job(state, host, service.label, LET_GO_SECONDS)
    finally:
        loaded = load_job(state, host, service.label)
    return loaded


def _take(step: str, state: State, host: Host, service: Service) -> bool:
    """Take one step; False, having said why, when it could not be taken."""
    job = _still_wanted(host, service.label)
    if job is None:
        host.log(f"{service.label} is not loaded and enabled any more, or cannot be read: it is left alone")
        return False
    if step == DOCKER:
        command = script("bin/restart-docker", service.user, service.profile, DOCKER_RESTART_SECONDS)
        return run(state, host, command, live=True)[0]
    if step == KICK:
        return load_job(state, host, service.label)
    if step == JOB:
        guest = host.get_fact(Guest, **service.where)
        hears = guest is not None and guest.answers
        seconds = colima.STOP_SECONDS if hears else DEAF_STOP_SECONDS
        return _restart_job(state, host, service.label, job, seconds)
    return _reload_job(state, host, service)


def recover(state: State, host: Host, service: Service) -> bool:
    """See what ails Docker, say it, and take the steps that can help, the smallest first, until it is ready.

    Nothing is restarted where Docker is well again within PATIENCE seconds. What deploys have noted of the
    daemon stays: it is the same one. Returns False, having collected diagnostics and said why, when nothing
    has helped; also where only a deploy may.
    """
    diagnosis = observe(host, service)
    if diagnosis.refused:
        return fail(host, f"{diagnosis.found}.")
    run(state, host, hold(service.label, HOLD_SECONDS))
    try:
        return _recover(state, host, service, diagnosis)
    finally:
        run(state, host, hold(service.label, 0))


def _recover(state: State, host: Host, service: Service, diagnosis: Diagnosis) -> bool:
    looked = 0
    deadline = time.monotonic() + service.start_seconds
    host.log(diagnosis.found)
    while True:
        # What passes is looked at again and again: the pulse may have been at work, or a start may fail.
        wrong = service.see_ready(state, host, 2 * PATIENCE if diagnosis.passing else PATIENCE)
        if not wrong:
            return True
        looked += 1
        before, diagnosis = diagnosis.found, observe(host, service)
        if diagnosis.refused:
            return fail(host, f"{diagnosis.found}.")
        if diagnosis.found != before and not diagnosis.good:
            host.log(diagnosis.found)
        if diagnosis.steps or (diagnosis.good and looked > 1) or time.monotonic() >= deadline:
            break
    if not diagnosis.steps:
        return service.give_up(
            state, host, *wrong, f"{diagnosis.found}, and not for long: there is nothing to restart."
        )
    wrong = _step_by_step(state, host, service, diagnosis)
    if not wrong:
        return True
    tried = "; ".join(WORDS[step] for step in diagnosis.steps)
    return service.give_up(state, host, *wrong, f"{diagnosis.found}. Tried, and none of it helped: {tried}.")


def _step_by_step(state: State, host: Host, service: Service, diagnosis: Diagnosis) -> list[str]:
    """Take the steps, the smallest first, until Docker is ready; why it is not after the last, or nothing."""
    wrong: list[str] = []
    for step in diagnosis.steps:
        host.log(f"{diagnosis.found}. To recover: {WORDS[step]}")
        if not _take(step, state, host, service):
            wrong = [f"It could not be done: {WORDS[step]}."]
            continue
        wrong = service.see_ready(state, host, DOCKER_SECONDS if step == DOCKER else service.start_seconds)
        if not wrong:
            host.log(f"Docker is back. What helped: {WORDS[step]}")
            break
        host.log(wrong[0])
    return wrong


def forecast(service: Service) -> str:
    """The operation's name: what it would do now, where someone reads it before it happens."""
    if not is_read():
        return KEEP
    described = describe(observe(host, service))
    if described is None or hosts_of_run() == 1:
        return described or KEEP
    # pyinfra's tables have one name for all hosts: each says its own here.
    host.log(described)
    return KEEP


@operation()
def recovered(service: Service) -> Commands:
    """
    Keep a profile's Docker answering, by restarting what ails it.

    + service: the profile's Docker, and what to expect of it

    Restarts as little as can help, and never what an operator has unloaded or disabled.

    **Example:**

    .. code:: python

        recovery.recovered(
            name="Keep Docker answering",
            service=Service(
                "alice", "default", "homebrew.mrcee.colima-pulse", "/var/log/colima.log"
            ),
        )
    """
    found = observe(host, service)
    if found.good:
        host.noop(found.found)
        return
    if found.refused:
        yield from refuse(f"{found.found}.")
        return
    yield FunctionCommand(recover, (service,), {})
