"""
Manage the Colima profile that the LaunchDaemon starts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, QuoteString, State, StringCommand, operation

from facts.colima import RUNNING, ColimaProfile, Log, ProfileState
from facts.docker import DockerEngine, EngineState
from facts.launchd import (
    JobState,
    LaunchdJob,
    Milestones,
    milestones_path,
    plist_path,
)
from files import script
from operations import diagnostics
from operations.launchd import unload_job
from operations.util import ahead
from operations.util.remote import Commands, fail, refuse, run

QEMU = "qemu"

# Noted when the daemon starts a profile that has never come up before; forgotten when it has.
FIRST_START = "first-start"

# Lima gives the guest three minutes to power off; Colima stops Docker in it before.
STOP_SECONDS = 240


def stop_command(user: str, profile: str) -> StringCommand:
    """A command that stops the profile's instance in order, or gives up after STOP_SECONDS."""
    return script("bin/stop-instance", user, profile, STOP_SECONDS)


def sweep_command(user: str, profile: str) -> StringCommand:
    """A command that ends, by verified pid, what still runs of the profile."""
    return script("bin/sweep-profile", user, profile)


@dataclass(frozen=True)
class Outcome:
    """How a start ended: `failure` is None when it came up; `wrong_vm`: the VM is not QEMU's."""

    failure: str | None = None
    wrong_vm: bool = False


def outcome(
    job: JobState | None,
    profile: ProfileState | None,
    engine: EngineState | None,
    runs: int,
    *,
    first: bool,
) -> Outcome | None:
    """Judge a start from what is; None: it is still under way. A pure function.

    A first start has come up when Lima says Running, on QEMU, and Docker has answered once: until then
    `colima start` may still fail. `runs` is launchd's count when the watching began.
    """
    if profile is not None and profile.vm_type not in (None, QEMU):
        return Outcome(f"the VM came up on {profile.vm_type}, not on {QEMU}", wrong_vm=True)
    if job is not None:
        if not job.loaded:
            return Outcome("the job was booted out meanwhile")
        if job.runs > runs or job.state in {"not running", "spawn scheduled", "exited", "waiting"}:
            return Outcome(f"colima start ended (last exit: {job.last_exit or 'unknown'})")
    up = profile is not None and profile.status == RUNNING and profile.vm_type == QEMU
    if up and (not first or (engine is not None and engine.answers)):
        return Outcome()
    return None


def message_of(line: str) -> str:
    """A logrus line as a person reads it: its level and message."""
    match = re.match(r'time="[^"]*" level=(\w+) msg=(?:"((?:[^"\\]|\\.)*)"|(\S+))', line)
    if match is None:
        return line
    # An escaped line break is one blank here: a message is one line.
    text = match[3] or re.sub(r"\\(.)", lambda found: {"n": " ", "t": " "}.get(found[1], found[1]), match[2])
    return text if match[1] == "info" else f"{match[1]}: {text}"


def last_fatal(lines: Iterable[str]) -> str | None:
    """The last fatal message in a log."""
    return next(
        (message_of(line) for line in reversed(list(lines)) if re.search(r"\blevel=fatal\b", line)),
        None,
    )


class LogFollower:
    """Shows what a log on the host gains, and keeps it."""

    def __init__(self, host: Host, path: str, offset: int, *, hide_info: bool) -> None:
        self.host = host
        self.path = path
        self.offset = offset
        self.hide_info = hide_info
        self.lines: list[str] = []

    def show(self) -> None:
        part = self.host.get_fact(Log, path=self.path, offset=self.offset)
        if part is None:
            return
        self.offset = part.size
        self.lines += part.lines
        for line in part.lines:
            if line.strip() and not (self.hide_info and "level=info" in line):
                self.host.log(message_of(line))


def _follow(
    state: State,
    host: Host,
    user: str,
    profile: str,
    label: str,
    log_path: str,
    first_seconds: int,
    restart_seconds: int,
    hide_info: bool,
    secrets: Sequence[str],
) -> bool:
    """Watch the daemon's start to its end, showing Colima's log; undo a first start that fails.

    Of a failure diagnostics are collected, before anything is undone; why it failed is said last.
    """
    notes = host.get_fact(Milestones, label=label) or {}
    first = FIRST_START in notes
    seconds = first_seconds if first else restart_seconds
    offset = notes.get("log-offset", "0")
    log = LogFollower(host, log_path, int(offset) if offset.isdecimal() else 0, hide_info=hide_info)
    job = host.get_fact(LaunchdJob, label=label)
    runs = max(job.runs, 1) if job is not None else 1
    start = said = time.monotonic()
    while True:
        job = host.get_fact(LaunchdJob, label=label)
        found = host.get_fact(ColimaProfile, user=user, profile=profile)
        engine = host.get_fact(DockerEngine, user=user, profile=profile) if first else None
        log.show()
        now = time.monotonic()
        result = outcome(job, found, engine, runs, first=first)
        if result is None and now - start >= seconds:
            result = Outcome(f"not up after {seconds} s (Lima: {found.status if found else 'unknown'})")
        if result is not None:
            break
        if now - said >= 15:
            said = now
            host.log(
                f"Colima is starting: {now - start:.0f} of {seconds} s "
                f"(Lima: {found.status if found and found.status else 'no instance yet'})"
            )
        time.sleep(1)

    if result.failure is None:
        run(
            state,
            host,
            StringCommand("/bin/rm", "-f", QuoteString(f"{milestones_path(label)}/{FIRST_START}")),
        )
        return True
    host.log(f"Colima did not start: {result.failure}")
    diagnostics.collect(state, host, user, profile, label, log_path, secrets)
    undone = False
    if first or result.wrong_vm:
        undone = _undo(state, host, user, profile, label, delete=result.wrong_vm and first)
    fail(host, f"Colima did not start: {result.failure}.")
    if reason := last_fatal(log.lines):
        fail(host, f"Colima says: {reason}")
    if undone:
        fail(
            host,
            "The job is unloaded again and nothing of it runs. "
            f"Colima's log: {log_path}. Remove the cause, then run this again.",
        )
    elif first or result.wrong_vm:
        fail(host, f"Not all of it could be undone, see above. Colima's log: {log_path}")
    elif job is not None and job.running:
        fail(
            host,
            f"Its process runs without a VM. Colima's log: {log_path}. "
            "To restart it: run this again with --data restart=true",
        )
    else:
        fail(host, f"launchd goes on trying. Colima's log: {log_path}")
    return False


def _undo(state: State, host: Host, user: str, profile: str, label: str, *, delete: bool) -> bool:
    """Leave nothing of a start that failed: no job, no process, no plist that would try again at boot.

    `delete` also removes the instance that this very start has made; Colima keeps its data disk. Returns
    False, having said why, when something stays.
    """
    run(state, host, stop_command(user, profile), live=True)
    if not unload_job(state, host, label, STOP_SECONDS + 75):
        return False
    if not run(state, host, sweep_command(user, profile), live=True)[0]:
        return False
    if delete:
        run(state, host, script("bin/delete-instance", user, profile), live=True)
    files = [QuoteString(plist_path(label)), QuoteString(milestones_path(label))]
    return run(state, host, StringCommand("/bin/rm", "-rf", *files))[0]


def describe(profile: ProfileState, starts: bool, *, first: bool) -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing.

    `first`: the start makes the profile.
    """
    if first:
        return f"Make profile {profile.instance} by the daemon's first start"
    if starts or profile.status != RUNNING:
        return f"Bring {profile.instance} up on {QEMU} (Lima: {profile.status or 'no instance'})"
    return None


@operation()
def instance(
    user: str,
    profile: str,
    label: str,
    log_path: str,
    first_seconds: int = 1800,
    restart_seconds: int = 120,
    hide_info: bool = True,
    secrets: Sequence[str] = (),
) -> Commands:
    """
    Keep the profile's instance running on QEMU, as the LaunchDaemon starts it.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon that starts it
    + log_path: the daemon's log, shown while it starts
    + first_seconds: how long a profile's first start may take, in seconds
    + restart_seconds: how long another start may take until Lima says Running, in seconds
    + hide_info: leave out the log's level=info lines
    + secrets: what the diagnostics of a failure must not show

    Starts nothing itself: the daemon's start is the only one there is. A first start that fails, or that
    comes up on another hypervisor, is undone.

    **Example:**

    .. code:: python

        colima.instance(
            name="Bring Colima up", user="alice", profile="default",
            label="homebrew.mrcee.colima-pulse", log_path="/var/log/colima.log",
        )
    """
    found, notes = ahead.get(
        (ColimaProfile, {"user": user, "profile": profile}), (Milestones, {"label": label})
    )
    if found is not None and found.status == RUNNING and found.vm_type == QEMU:
        if notes is not None and FIRST_START not in notes:
            host.noop(f"{found.instance} runs on {QEMU}")
            return
    elif found is None and notes is None:
        yield from refuse(f"Lima's answer about profile {profile} of {user} cannot be read")
        return
    yield FunctionCommand(
        _follow,
        (user, profile, label, log_path, first_seconds, restart_seconds, hide_info, secrets),
        {},
    )
