"""
Manage the Docker Engine behind a profile's socket: seen to be good before it is called ready.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, operation

from facts.docker import DockerEngine, EngineState
from facts.launchd import LaunchdJob, Milestones, milestones_path
from files import script
from operations import diagnostics
from operations.util import ahead
from operations.util.remote import Commands, fail, run, wait

# Noted when the engine has passed the gate; forgotten when a deploy starts the daemon again.
VERIFIED = "verified"


def is_good(engine: EngineState | None) -> bool:
    """Whether the engine answered, told its version and listed its containers: it was used."""
    return (
        engine is not None and engine.answers and engine.version is not None and engine.containers is not None
    )


def describe(
    engine: EngineState | None, notes: Mapping[str, str] | None, starts: bool, required: int
) -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing."""
    if starts:
        return f"See Docker ready after the start: {required} good answers in a row"
    if not is_good(engine):
        return f"See Docker ready: {why_not(engine)}"
    if VERIFIED not in (notes or {}):
        return f"See Docker ready: {required} good answers in a row, not seen since the last start"
    return None


def why_not(engine: EngineState | None) -> str:
    """Why an engine is not good, in words."""
    if engine is None:
        return "the answer cannot be read"
    if engine.silence is not None:
        return engine.silence
    return "it answers a ping, and cannot list its containers"


def see_ready(
    state: State,
    host: Host,
    user: str,
    profile: str,
    label: str,
    socket_seconds: int,
    api_seconds: int,
    required: int,
) -> list[str]:
    """See the socket, then the API behind it, then `required` good answers in a row, one a second.

    Each within its bound, the stability within `api_seconds` as well, and none waited for longer than the job
    lives. Returns why one is not seen, in lines for a person; none: all were.
    """
    seen: EngineState | None = None
    runs: int | None = None

    def ended() -> bool:
        nonlocal runs
        job = host.get_fact(LaunchdJob, label=label)
        if job is None:
            return False
        runs = job.runs if runs is None else runs
        return not job.loaded or job.pid is None or job.runs != runs

    def socket() -> bool | None:
        nonlocal seen
        seen = host.get_fact(DockerEngine, user=user, profile=profile)
        if seen is not None and seen.socket_exists:
            return True
        return False if ended() else None

    def api() -> bool | None:
        nonlocal seen
        seen = host.get_fact(DockerEngine, user=user, profile=profile)
        if is_good(seen):
            return True
        return False if ended() else None

    def explain(what: str) -> list[str]:
        where = f"unix://{seen.socket}" if seen is not None else "the profile's socket"
        return [
            f"Docker is not ready: {what} ({why_not(seen)}).",
            f"Look: sudo launchctl print system/{label}; docker --host {where} version",
        ]

    there = wait(host, socket_seconds, socket, "the profile's docker.sock")
    if not there:
        return explain("Colima's process ended" if there is False else f"no socket within {socket_seconds} s")
    answers = wait(host, api_seconds, api, "the Docker API")
    if not answers:
        return explain(
            "Colima's process ended" if answers is False else f"no good answer within {api_seconds} s"
        )
    good = 1
    deadline = time.monotonic() + max(api_seconds, 2 * required)
    while good < required:
        if time.monotonic() >= deadline:
            return explain(f"never {required} good answers in a row within {api_seconds} s")
        time.sleep(1)
        seen = host.get_fact(DockerEngine, user=user, profile=profile)
        if is_good(seen):
            good += 1
        elif ended():
            return explain("Colima's process ended")
        else:
            host.log(f"Docker answered well {good} times, then not: {why_not(seen)}")
            good = 0
    host.log(
        f"Docker {seen.version if seen else ''} is ready: "
        f"{required} good answers in a row on {seen.socket if seen else ''}"
    )
    ok, said = run(state, host, script("bin/note", milestones_path(label), VERIFIED, str(required)))
    return [] if ok else ["That Docker is ready cannot be noted:", *said]


def pass_gate(
    state: State,
    host: Host,
    user: str,
    profile: str,
    label: str,
    log_path: str,
    socket_seconds: int,
    api_seconds: int,
    required: int,
    secrets: Sequence[str],
) -> bool:
    """See Docker ready, or collect diagnostics and say why it is not. See see_ready()."""
    wrong = see_ready(state, host, user, profile, label, socket_seconds, api_seconds, required)
    if not wrong:
        return True
    diagnostics.collect(state, host, user, profile, label, log_path, secrets)
    return fail(host, *wrong)


@operation()
def engine(
    user: str,
    profile: str,
    label: str,
    log_path: str,
    socket_seconds: int = 180,
    api_seconds: int = 180,
    required: int = 5,
    secrets: Sequence[str] = (),
) -> Commands:
    """
    Keep the Docker Engine behind the profile's socket answering.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon that supervises it
    + log_path: the daemon's log, for the diagnostics of a failure
    + socket_seconds: how long to wait for the socket
    + api_seconds: how long to wait for the API behind it
    + required: good answers in a row, one a second, before it is called ready
    + secrets: what the diagnostics must not show

    An engine that has passed since a deploy last started the daemon is asked once.

    **Example:**

    .. code:: python

        docker.engine(
            name="See Docker ready", user="alice", profile="default",
            label="homebrew.mrcee.colima-pulse", log_path="/var/log/colima.log",
        )
    """
    found, notes = ahead.get(
        (DockerEngine, {"user": user, "profile": profile}), (Milestones, {"label": label})
    )
    if is_good(found) and found is not None and notes is not None and VERIFIED in notes:
        host.noop(f"Docker {found.version} answers on {found.socket}")
        return
    yield FunctionCommand(
        pass_gate,
        (user, profile, label, log_path, socket_seconds, api_seconds, required, secrets),
        {},
    )
