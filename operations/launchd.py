"""
Manage LaunchDaemons: the plist, what launchd has loaded, and a process that runs.

Takes the place of pyinfra's `launchd.service`, which knows neither domains nor plists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, QuoteString, State, StringCommand, operation
from pyinfra.operations.util.files import generate_color_diff

from facts.launchd import (
    ALREADY,
    BAD_OWNERSHIP,
    DISABLED,
    FILE_EXISTS,
    IN_PROGRESS,
    IO_ERROR,
    NO_SUCH_PROCESS,
    NOT_ALLOWED,
    NOT_FOUND,
    QUARANTINED,
    JobState,
    LaunchdJob,
    milestones_path,
    plist_path,
    script_path,
)
from files import script, text
from operations.util import ahead
from operations.util.plist import changes, to_xml
from operations.util.remote import Commands, LiveCommand, ask, fail, refuse, run, wait

HINTS = {
    DISABLED: "something disabled the label again: sudo launchctl enable system/LABEL",
    BAD_OWNERSHIP: "the plist must be root:wheel, and writable by root alone",
    QUARANTINED: "the plist is quarantined: sudo /usr/bin/xattr -d com.apple.quarantine PLIST",
    NOT_ALLOWED: "allow it in System Settings > General > Login Items & Extensions",
}

# launchd may clamp an exit timeout (macOS 27); a job must not be reloaded for ever because of it.
CLAMPED_EXIT_TIMEOUT = 60
SPAWN_WAIT = 10
BOOTSTRAP_WAIT = 20


@dataclass(frozen=True)
class Convergence:
    """What has to happen to a daemon, and in words why. Nothing to do: no reasons."""

    reasons: tuple[str, ...] = ()
    write_launch: bool = False
    write_plist: bool = False
    unload: bool = False
    load: bool = False
    enable: bool = False

    @property
    def needed(self) -> bool:
        return bool(self.reasons)

    @property
    def restarts(self) -> bool:
        """Whether a running VM is stopped and started."""
        return self.unload and self.load


def loaded_differences(job: JobState, plist: dict[str, Any]) -> list[str]:
    """How what launchd has loaded differs from `plist`, as far as `launchctl print` tells it."""
    found = []
    if job.path != plist_path(plist["Label"]):
        found.append(f"loaded from {job.path}")
    if list(job.arguments) != plist["ProgramArguments"]:
        found.append("loaded with other arguments")
    if job.username != plist.get("UserName"):
        found.append(f"loaded as {job.username or 'root'}")
    wanted = plist.get("EnvironmentVariables", {})
    if any(job.environment.get(key) != value for key, value in wanted.items()):
        found.append("loaded with another environment")
    if job.exit_timeout not in (None, plist.get("ExitTimeOut"), CLAMPED_EXIT_TIMEOUT):
        found.append(f"loaded with an exit timeout of {job.exit_timeout} s")
    if job.stdout_path != plist.get("StandardOutPath"):
        found.append(f"loaded with its output in {job.stdout_path}")
    if plist.get("KeepAlive") is True and "keepalive" not in job.properties:
        found.append("loaded without KeepAlive")
    if job.run_interval != plist.get("StartInterval"):
        found.append(f"loaded with an interval of {job.run_interval} s")
    return found


def converge(job: JobState, plist: dict[str, Any], launch: str, *, restart: bool = False) -> Convergence:
    """Decide what brings the job to `plist`, from what is. A pure function."""
    reasons = []
    file = job.plist_file
    differs = job.plist != plist
    write_plist = differs or file is None or not file.is_roots_alone
    write_launch = (
        job.launch_file is None
        or job.launch_file.text != launch
        or not job.launch_file.is_roots_alone
        or job.launch_file.mode != "755"
    )
    unload = load = False
    if not job.loaded:
        load = True
        reasons.append("not loaded")
    else:
        stale = loaded_differences(job, plist)
        if stale or restart or (job.pid is not None and not job.running):
            unload = load = True
            if stale and differs and job.plist is not None:
                reasons += changes(job.plist, plist) or stale
            elif stale:
                reasons += stale
            elif restart:
                reasons.append("asked for with restart=true")
            else:
                reasons.append("on its way out")
        elif job.pid is None and "StartInterval" not in plist:
            load = True
            reasons.append(
                "loaded, and never spawned"
                if job.runs == 0
                else f"not running (last exit: {job.last_exit or 'unknown'})"
            )
    if job.disabled:
        reasons.append("disabled")
    if file is not None and write_plist:
        if not file.is_roots_alone:
            reasons.append(f"plist is a {file.kind.lower()} of {file.uid}:{file.gid}, mode {file.mode}")
        elif not unload:
            reasons.append("plist differs from what is loaded" if job.loaded else "plist differs")
    elif write_plist and not unload and job.loaded:
        reasons.append("plist missing")
    if write_launch and not load:
        reasons.append("launch script is new" if job.launch_file is None else "launch script differs")
    return Convergence(tuple(reasons), write_launch, write_plist, unload, load, job.disabled)


def describe(job: JobState, label: str, decision: Convergence, what: str = "Colima") -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing.

    `what` is what the daemon starts, as people call it.
    """
    if not decision.needed:
        return None
    why = ", ".join(decision.reasons)
    if decision.restarts:
        return f"Restart {what}: {why}"
    if decision.load and not job.loaded:
        return f"Start {what} at boot and now: LaunchDaemon {label} ({why})"
    if decision.load:
        return f"Start {what}: {label} is {why}"
    return f"Put right {label} without a restart: {why}"


def launchctl(state: State, host: Host, *arguments: str) -> tuple[int, str]:
    """Run one launchctl verb, within a minute: its exit status and what it said."""
    _, lines = run(state, host, script("bin/launchctl", *arguments))
    if not lines or not lines[-1].startswith("rc="):
        return -1, " ".join(lines)
    return int(lines[-1].removeprefix("rc=")), " ".join(line for line in lines[:-1] if line.strip())


def hold(label: str, seconds: int) -> StringCommand:
    """A command that has the pulse leave a job alone for so many seconds, or, with 0, no longer."""
    return script("bin/hold", label, seconds, "deploy")


def unload_job(state: State, host: Host, label: str, seconds: int) -> bool:
    """Boot a system job out and wait until launchd has let go of it and its process has ended.

    bootout(1) returns at once; the job drains, for `seconds` at most. Returns False, having said why, when it
    does not.
    """
    status, said = launchctl(state, host, "bootout", f"system/{label}")
    if status not in (0, NO_SUCH_PROCESS, IN_PROGRESS, NOT_FOUND):
        return fail(host, f"launchctl bootout system/{label}: {status}: {said}")

    def look() -> bool | None:
        job = host.get_fact(LaunchdJob, label=label)
        return True if job is not None and not job.loaded else None

    if wait(host, seconds, look, f"{label} to end", pause=0.3) is None:
        return fail(
            host,
            f"{label} is still loaded {seconds} s after bootout.",
            f"Look: launchctl print system/{label}. Then run this again.",
        )
    return True


def stop_job(
    state: State,
    host: Host,
    label: str,
    seconds: int,
    before_unload: StringCommand | None = None,
    after_unload: StringCommand | None = None,
) -> bool:
    """Disable a system job, so that nothing starts it again, at a boot neither, and unload it.

    `before_unload` ends in order what the job supervises, and `after_unload` what bootout has left behind.
    Returns False, having said why, when it does not end within `seconds`, or something is left.
    """
    status, said = launchctl(state, host, "disable", f"system/{label}")
    if status != 0:
        return fail(host, f"launchctl disable system/{label}: {status}: {said}")
    if before_unload is not None:
        run(state, host, before_unload, live=True)
    if not unload_job(state, host, label, seconds):
        return False
    return after_unload is None or run(state, host, after_unload, live=True)[0]


def load_job(state: State, host: Host, label: str) -> bool:
    """Enable and bootstrap a system job, and see it spawned.

    Retries what means "still draining" within a bound; a job that launchd loads and never spawns is kicked
    once, without -k. Returns False, having said why, when it does not spawn.
    """
    path = plist_path(label)
    status, said = launchctl(state, host, "enable", f"system/{label}")
    if status != 0:
        return fail(host, f"launchctl enable system/{label}: {status}: {said}")

    last = (IO_ERROR, "")

    def look() -> tuple[int, str] | None:
        nonlocal last
        last = status, said = launchctl(state, host, "bootstrap", "system", path)
        if status in (IO_ERROR, FILE_EXISTS, IN_PROGRESS, ALREADY):
            job = host.get_fact(LaunchdJob, label=label)
            if job is not None and job.loaded and job.path == path and job.state != "SIGTERMed":
                return 0, said
            return None
        return status, said

    job = host.get_fact(LaunchdJob, label=label)
    if job is None or not job.loaded:
        answer = wait(host, BOOTSTRAP_WAIT, look, f"launchd to take {label}")
        if answer is None:
            return fail(
                host,
                f"launchctl bootstrap system {path}: {last[0]}: {last[1]}, for {BOOTSTRAP_WAIT} s.",
                f"Look: launchctl print system/{label}; plutil -lint {path}",
            )
        status, said = answer
        if status != 0:
            hint = HINTS.get(status)
            return fail(host, f"launchctl bootstrap: {status}: {said}", *([f"{hint}."] if hint else []))

    def spawned() -> bool | None:
        job = host.get_fact(LaunchdJob, label=label)
        return True if job is not None and (job.running or job.runs > 0) else None

    def kick() -> bool | None:
        launchctl(state, host, "kickstart", f"system/{label}")
        return wait(host, SPAWN_WAIT, spawned, f"launchd to spawn {label}", pause=0.5)

    # A job that ran before and is between two attempts is not made to wait out its throttle.
    waits = job is not None and job.loaded and not job.running
    if (waits or wait(host, SPAWN_WAIT, spawned, f"{label}'s first pid", pause=0.3) is None) and (
        kick() is None
    ):
        return fail(
            host,
            f"launchd has loaded {label} and does not spawn it.",
            f"Look: launchctl print system/{label}",
        )
    return True


def _show_diff(path: str, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    before = to_xml(old).splitlines(keepends=True) if old is not None else []
    host.log(f"Will {'modify' if before else 'create'} {path}", logger.info)
    for line in generate_color_diff(before, to_xml(new).splitlines(keepends=True)):
        logger.info("  %s", line)


def _unreadable(label: str) -> Commands:
    yield from refuse(
        f"launchd's answer about {label} cannot be read, so nothing is changed. "
        f"Look: sudo launchctl print system/{label}"
    )


def _drain(job: JobState) -> int:
    """How long launchd may take to end a job, in seconds; its own default is 20 (launchd.plist(5))."""
    return (job.exit_timeout or 20) + 15


def is_absent(job: JobState) -> bool:
    """Whether launchd knows nothing of the job, and no boot tells it."""
    return not job.loaded and not job.disabled and job.plist_file is None


@operation()
def absent(
    label: str,
    what: str = "Colima",
    before_unload: StringCommand | None = None,
    after_unload: StringCommand | None = None,
) -> Commands:
    """
    Keep a system LaunchDaemon unloaded, with no plist that would load it at boot.

    + label: the job's label
    + what: what it starts, as people call it
    + before_unload: a command that ends in order what the job supervises, before bootout
    + after_unload: a command that ends what bootout has left behind

    A label that was disabled is enabled again: launchd would remember it for ever.

    **Example:**

    .. code:: python

        launchd.absent(name="Keep the pulse away", label="com.example.colima.pulse", what="the pulse")
    """
    (job,) = ahead.get((LaunchdJob, {"label": label, "runs": "pulse"}))
    if job is None:
        yield from _unreadable(label)
        return
    if is_absent(job):
        host.noop(f"{label} is not there")
        return
    if state.is_executing:
        host.log(f"Remove {what}: LaunchDaemon {label}")
    if job.loaded:
        if before_unload is not None:
            yield LiveCommand(*before_unload.bits)
        yield FunctionCommand(unload_job, (label, _drain(job)), {})
        if after_unload is not None:
            yield LiveCommand(*after_unload.bits)
    if job.disabled:
        yield script("bin/launchctl", "enable", f"system/{label}")
    yield StringCommand("/bin/rm", "-rf", QuoteString(plist_path(label)), QuoteString(milestones_path(label)))


def is_stopped(job: JobState) -> bool:
    """Whether the job does not run, and no boot starts it."""
    return not job.loaded and (job.disabled or job.plist_file is None)


def describe_stop(job: JobState, label: str, what: str = "Colima") -> str | None:
    """What stopped() would change, for a person who reads `--dry`; None: nothing."""
    if is_stopped(job):
        return None
    if job.loaded:
        return f"Stop {what}, and keep it stopped over reboots: LaunchDaemon {label}"
    return f"Keep {what} stopped over reboots: LaunchDaemon {label} is not loaded, and a boot would load it"


def _stop(
    state: State,
    host: Host,
    label: str,
    seconds: int,
    before_unload: StringCommand | None,
    after_unload: StringCommand | None,
) -> bool:
    # Disabled the pulse leaves it alone as well, but for a step that it is about to take.
    run(state, host, hold(label, 2 * seconds))
    try:
        stopped = stop_job(state, host, label, seconds, before_unload, after_unload)
    finally:
        run(state, host, hold(label, 0))
    if stopped:
        host.log(f"{label} stays stopped, over reboots too, until deploys/start.py or deploy.py starts it")
    return stopped


@operation()
def stopped(
    label: str,
    what: str = "Colima",
    before_unload: StringCommand | None = None,
    after_unload: StringCommand | None = None,
) -> Commands:
    """
    Keep a system LaunchDaemon from running, over reboots too: unloaded and disabled. Its files stay.

    + label: the job's label
    + what: what it starts, as people call it
    + before_unload: a command that ends in order what the job supervises, before bootout
    + after_unload: a command that ends what bootout has left behind

    started() and daemon() enable it again.

    **Example:**

    .. code:: python

        launchd.stopped(name="Keep Colima stopped", label="homebrew.mrcee.colima-pulse")
    """
    job = ask(LaunchdJob, label=label)
    if job is None:
        yield from _unreadable(label)
        return
    if is_stopped(job):
        host.noop(f"{what} is stopped already" if job.plist_file else f"{label} is not there")
        return
    if state.is_executing:
        host.log(str(describe_stop(job, label, what)))
    if job.loaded:
        yield FunctionCommand(_stop, (label, _drain(job), before_unload, after_unload), {})
    else:
        yield script("bin/launchctl", "disable", f"system/{label}")


def unstartable(job: JobState) -> str | None:
    """Why a job cannot be started from what there is of it; None: it can."""
    file = job.plist_file
    if file is None:
        return "it has never been deployed to this Mac, or was uninstalled"
    if job.plist is None:
        return "its plist cannot be read"
    if not file.is_roots_alone or job.launch_file is None:
        return "its files are not as a deploy leaves them"
    return None


def describe_start(job: JobState, label: str, what: str = "Colima") -> str | None:
    """What started() would change, for a person who reads `--dry`; None: nothing."""
    if why := unstartable(job):
        return f"Refuse: {label} cannot be started: {why}; run deploy.py"
    reasons = [] if job.loaded else ["not loaded"]
    reasons += ["disabled"] if job.disabled else []
    if job.loaded and job.pid is None:
        reasons.append(f"not running (last exit: {job.last_exit or 'unknown'})")
    return f"Start {what}: LaunchDaemon {label} is {', '.join(reasons)}" if reasons else None


@operation()
def started(label: str, what: str = "Colima") -> Commands:
    """
    Keep a system LaunchDaemon that a deploy has made enabled, loaded and spawned.

    + label: the job's label
    + what: what it starts, as people call it

    Writes no plist: where there is none, or not as a deploy leaves it, it is refused.

    **Example:**

    .. code:: python

        launchd.started(name="Keep Colima started", label="homebrew.mrcee.colima-pulse")
    """
    job = ask(LaunchdJob, label=label)
    if job is None:
        yield from _unreadable(label)
        return
    if why := unstartable(job):
        yield from refuse(f"{label} cannot be started: {why}. Run deploy.py")
        return
    described = describe_start(job, label, what)
    if described is None:
        host.noop(f"{label} is loaded and runs (pid {job.pid})")
        return
    if state.is_executing:
        host.log(described)
    if not job.running:
        plist = job.plist or {}
        log, owner = plist.get("StandardOutPath", ""), plist.get("UserName", "root")
        yield script("bin/begin", milestones_path(label), log, owner)
    yield FunctionCommand(load_job, (label,), {})


@operation()
def daemon(
    label: str,
    plist: dict[str, Any],
    runs: str = "launch",
    what: str = "Colima",
    restart: bool = False,
    before_unload: StringCommand | None = None,
    after_unload: StringCommand | None = None,
    milestones: tuple[str, ...] = (),
) -> Commands:
    """
    Keep a system LaunchDaemon loaded with exactly this plist, enabled and spawned.

    + label: the job's label; its plist is /Library/LaunchDaemons/LABEL.plist
    + plist: the property list, as launchd.plist(5) has it
    + runs: the script of files/ that it runs, installed where root alone can write
    + what: what it starts, as people call it
    + restart: stop and start it although nothing differs
    + before_unload: a command that ends in order what the job supervises, before bootout
    + after_unload: a command that ends what bootout has left behind
    + milestones: what to note of this start (facts.launchd.Milestones); what was noted before is forgotten

    The file is replaced by rename, and only where its parsed value, owner or mode differ. The job is reloaded
    only where what launchd has loaded differs from the plist: a file alone that differs is put right without
    a restart.

    **Example:**

    .. code:: python

        launchd.daemon(
            name="Start Colima at boot",
            label="homebrew.mrcee.colima-pulse",
            plist={"Label": "homebrew.mrcee.colima-pulse", "ProgramArguments": [...], ...},
        )
    """
    (job,) = ahead.get((LaunchdJob, {"label": label, "runs": runs}))
    if job is None:
        yield from _unreadable(label)
        return
    launch = text(runs)
    decision = converge(job, plist, launch, restart=restart)
    if not decision.needed:
        process = f"runs (pid {job.pid})" if job.pid is not None else f"has run {job.runs} times"
        host.noop(f"{label} is loaded from its plist and {process}")
        return

    if state.is_executing:
        host.log(str(describe(job, label, decision, what)))
    path = plist_path(label)
    # Before anything is done: it may be refused, by a character that no property list can hold.
    xml = to_xml(plist)
    if decision.write_plist and state.config.DIFF:
        _show_diff(path, job.plist, plist)
    if decision.write_launch:
        yield StringCommand(*script("bin/install-file", script_path(runs), "0755").bits, _stdin=launch)
    if decision.unload:
        drain = (job.exit_timeout or plist.get("ExitTimeOut", 20)) + 15
        yield hold(label, 2 * drain)
        if before_unload is not None:
            yield LiveCommand(*before_unload.bits)
        yield FunctionCommand(unload_job, (label, drain), {})
        if after_unload is not None:
            yield LiveCommand(*after_unload.bits)
    if decision.write_plist:
        yield StringCommand(*script("bin/install-file", path, "0644").bits, _stdin=xml)
    if decision.load:
        log = plist.get("StandardOutPath", "")
        owner = plist.get("UserName", "root")
        yield script("bin/begin", milestones_path(label), log, owner, *milestones)
        yield FunctionCommand(load_job, (label,), {})
        if decision.unload:
            yield hold(label, 0)
    elif decision.enable:
        yield script("bin/launchctl", "enable", f"system/{label}")
