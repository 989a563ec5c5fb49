"""
Manage LaunchDaemons: the plist, what launchd has loaded, and a process that runs.

Takes the place of pyinfra's `launchd.service`, which knows neither domains nor plists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyinfra import host, logger, state
from pyinfra.api import operation
from pyinfra.operations.util.files import generate_color_diff

from facts.homebrew import Formulae
from facts.launchd import VERIFIED, JobState, LaunchdJob, Milestones, plist_path
from operations.util import ahead
from operations.util.ahead import together
from operations.util.commands import Commands, ask, explain, live, refuse
from operations.util.plist import changes, to_xml

# launchd may clamp an exit timeout (macOS 27); a job must not be reloaded for ever because of it.
CLAMPED_EXIT_TIMEOUT = 60


@dataclass(frozen=True)
class Convergence:
    """What has to happen to a daemon, and in words why. Nothing to do: no reasons.

    `reload`: it is unloaded first, which stops the VM; `load`: it is loaded, or spawned.
    """

    reasons: tuple[str, ...] = ()
    write_plist: bool = False
    reload: bool = False
    load: bool = False


def loaded_differences(job: JobState, plist: dict[str, Any]) -> list[str]:
    """How what launchd has loaded differs from `plist`, as far as `launchctl print` says."""
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


def converge(job: JobState, plist: dict[str, Any], *, restart: str = "") -> Convergence:
    """Decide what brings the job to `plist`, from what is; `restart` is why it is restarted although nothing
    differs. A pure function."""
    reasons = []
    file = job.plist_file
    differs = job.plist != plist
    write_plist = differs or file is None or not file.is_roots_alone
    reload = load = False
    if not job.loaded:
        load = True
        reasons.append("not loaded")
    else:
        stale = loaded_differences(job, plist)
        if stale or restart or (job.pid is not None and not job.running):
            reload = True
            if stale and differs and job.plist is not None:
                reasons += changes(job.plist, plist) or stale
            elif stale:
                reasons += stale
            elif restart:
                reasons.append(restart)
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
        elif not reload:
            reasons.append("plist differs from what is loaded" if job.loaded else "plist differs")
    elif write_plist and not reload and job.loaded:
        reasons.append("plist missing")
    return Convergence(tuple(reasons), write_plist, reload, load)


def describe(job: JobState, label: str, decision: Convergence, what: str) -> str:
    """What has to happen to a daemon and why, in words; `what` is what it starts, as people call it."""
    why = ", ".join(decision.reasons)
    if decision.reload:
        return f"Restart {what}: {why}"
    if decision.load and not job.loaded:
        return f"Start {what} at boot and now: LaunchDaemon {label} ({why})"
    if decision.load:
        return f"Start {what}: {label} is {why}"
    return f"Put right {label} without a restart: {why}"


def _show_diff(path: str, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    before = to_xml(old).splitlines(keepends=True) if old is not None else []
    host.log(f"Will {'modify' if before else 'create'} {path}", logger.info)
    for line in generate_color_diff(before, to_xml(new).splitlines(keepends=True)):
        logger.info("  %s", line)


def is_absent(job: JobState) -> bool:
    """Whether launchd knows nothing of the job, and no boot loads it."""
    return not job.loaded and not job.disabled and job.plist_file is None


def unreadable(label: str) -> str:
    """Why nothing is done about a job that launchd does not describe."""
    return (
        f"launchd's answer about {label} cannot be read, so nothing is changed. "
        f"Look: sudo launchctl print system/{label}"
    )


@operation()
def daemon(
    label: str,
    plist: dict[str, Any],
    what: str = "Colima",
    restart: str = "",
    milestones: tuple[str, ...] = (),
) -> Commands:
    """
    Keep a system LaunchDaemon loaded with exactly this plist, enabled and spawned.

    + label: the label of Colima's job, whose settings the toolkit has
    + plist: the property list, as launchd.plist(5) has it: Colima's, or the pulse's
    + what: what it starts, as people call it
    + restart: why it is stopped and started although nothing differs
    + milestones: what is still to be done after this start (facts.launchd.Milestones)

    The file is replaced by rename, and only where its parsed value, owner or mode differ. The job is reloaded
    only where what launchd has loaded differs from the plist.

    **Example:**

    .. code:: python

        launchd.daemon(
            name="Keep Colima loaded in launchd",
            label="homebrew.mrcee.colima-pulse",
            plist={"Label": "homebrew.mrcee.colima-pulse", "ProgramArguments": [...], ...},
        )
    """
    target = plist["Label"]
    (job,) = ahead.get((LaunchdJob, {"label": target}))
    if job is None:
        yield from refuse(unreadable(target))
        return
    decision = converge(job, plist, restart=restart)
    if not decision.reasons:
        process = f"runs (pid {job.pid})" if job.pid is not None else f"has run {job.runs} times"
        host.noop(f"{target} is loaded from its plist and {process}")
        return
    explain(describe(job, target, decision, what))
    if decision.write_plist and state.config.DIFF:
        _show_diff(plist_path(target), job.plist, plist)
    options = [*(["--pulse"] if target != label else []), *(["--reload"] if decision.reload else [])]
    for milestone in milestones:
        options += ["--note", milestone]
    yield live("load", label, *options, stdin=to_xml(plist) if decision.write_plist else "")


@operation()
def absent(label: str, target: str, what: str = "Colima") -> Commands:
    """
    Keep a system LaunchDaemon unloaded, with no plist that would load it at boot.

    + label: the label of Colima's job
    + target: the label of the one to remove: Colima's, or the pulse's
    + what: what it starts, as people call it

    **Example:**

    .. code:: python

        launchd.absent(
            name="Remove the pulse", label="com.example.colima", target="com.example.colima.pulse",
            what="the pulse",
        )
    """
    (job,) = ahead.get((LaunchdJob, {"label": target}))
    if job is None:
        yield from refuse(unreadable(target))
        return
    if is_absent(job):
        host.noop(f"{target} is not there")
        return
    explain(f"Remove {what}: LaunchDaemon {target}")
    yield live("unload", label, *(["--pulse"] if target != label else []))


@operation()
def stopped(label: str) -> Commands:
    """
    Keep Colima's LaunchDaemon from running, over reboots too: unloaded and disabled. Its files stay.

    + label: the job's label

    started() and daemon() enable it again.

    **Example:**

    .. code:: python

        launchd.stopped(name="Stop Colima", label="homebrew.mrcee.colima-pulse")
    """
    job = ask(LaunchdJob, label=label)
    if job is None:
        yield from refuse(unreadable(label))
        return
    if not job.loaded and (job.disabled or job.plist_file is None):
        host.noop("Colima is stopped already" if job.plist_file else f"{label} is not there")
        return
    if job.loaded:
        explain(f"Stop Colima, and keep it stopped over reboots: LaunchDaemon {label}")
    else:
        explain(
            f"Keep Colima stopped over reboots: LaunchDaemon {label} is not loaded, and a boot would load it"
        )
    yield live("stop", label)


def unstartable(job: JobState) -> str | None:
    """Why a job cannot be started from what there is of it; None: it can."""
    file = job.plist_file
    if file is None:
        return "it has never been deployed to this Mac, or was uninstalled"
    if job.plist is None:
        return "its plist cannot be read"
    if not file.is_roots_alone:
        return "its plist is not as a deploy leaves it"
    return None


@operation()
def started(label: str, required: int) -> Commands:
    """
    Keep Colima's LaunchDaemon, which a deploy has made, enabled, loaded and running, and Docker ready.

    + label: the job's label
    + required: how many good answers in a row Docker gives before it is called ready

    Writes no plist: where there is none, or not as a deploy leaves it, it is refused.

    **Example:**

    .. code:: python

        launchd.started(name="Start Colima", label="homebrew.mrcee.colima-pulse", required=5)
    """
    job, notes = together((LaunchdJob, {"label": label}), (Milestones, {"label": label}))
    if job is None:
        yield from refuse(unreadable(label))
        return
    if why := unstartable(job):
        yield from refuse(f"{label} cannot be started: {why}. Run deploy.py")
        return
    reasons = [] if job.loaded else ["not loaded"]
    reasons += ["disabled"] if job.disabled else []
    if job.loaded and job.pid is None:
        reasons.append(f"not running (last exit: {job.last_exit or 'unknown'})")
    if reasons:
        explain(f"Start Colima: LaunchDaemon {label} is {', '.join(reasons)}")
    elif VERIFIED not in (notes or {}):
        explain(f"Wait until Docker is ready: {required} good answers in a row")
    else:
        host.noop(f"{label} is loaded and runs (pid {job.pid})")
        return
    yield live("start", label)


@operation()
def restarted(label: str, user: str, upgrade: bool = False) -> Commands:
    """
    Keep Colima from running on what was installed before it: restart it gracefully where it does.

    + label: the job's label
    + user: who owns Homebrew
    + upgrade: whether, as far as can be foreseen, Homebrew upgrades first

    Changes neither the plist nor whether the job is loaded.

    **Example:**

    .. code:: python

        launchd.restarted(
            name="Restart Colima after an upgrade", label="homebrew.mrcee.colima-pulse", user="alice"
        )
    """
    job, formulae = together((LaunchdJob, {"label": label}), (Formulae, {"user": user, "label": label}))
    if job is None or formulae is None:
        yield from refuse(unreadable(label) if job is None else "what is installed cannot be read")
        return
    if not job.loaded:
        host.noop(f"{label} is stopped, and stays so")
        return
    if formulae.newer:
        explain(f"Restart Colima: {', '.join(formulae.newer)} installed since its start")
    elif job.pid is None:
        explain(f"Start Colima: not running (last exit: {job.last_exit or 'unknown'})")
    elif upgrade and not state.is_executing:
        explain("Restart Colima after the upgrade")
    else:
        host.noop("Colima runs on what is installed")
        return
    yield live("load", label, "--reload", stdin="")
