"""
Manage the other launchd jobs that start the same Colima profile: it can have one owner.
"""

from __future__ import annotations

from pyinfra import host, logger, state
from pyinfra.api import operation

from facts.rivals import Definition, Definitions
from operations.util import ahead, terminal
from operations.util.commands import Commands, explain, live, refuse
from operations.util.internals import is_read
from operations.util.plist import pulse_label


def named(job: Definition) -> str:
    """What to call a job: its label, and where it is defined."""
    where = job.path or f"loaded in {job.domain}, without a file"
    return f"{job.label or 'a job'} ({where})"


def why_left(job: Definition, user: str, profile: str) -> str | None:
    """Why a job is left alone; None where it starts this user's profile. A pure function."""
    if job.kind == "link":
        return "it is a symbolic link; see what it leads to"
    if job.kind == "unreadable" or job.label is None:
        return "it cannot be read"
    if job.profile is None:
        return "what it runs is not known to start Colima"
    if job.user != user:
        return f"it runs as {job.user}"
    if job.profile != profile:
        return f"it starts profile {job.profile}"
    return None


@operation()
def removed(user: str, profile: str, label: str, clean: str, backup: str) -> Commands:
    """
    Keep every launchd job but ours from starting this user's profile.

    + user: who runs Colima
    + profile: the profile's short name
    + label: our LaunchDaemon
    + clean: "true" removes them, "false" only mentions them, "prompt" asks where it can and takes yes
    + backup: where their files are moved to

    Recognised by what they run, not by their label. Jobs of another profile or user, links and what cannot be
    read are mentioned, and left alone.

    **Example:**

    .. code:: python

        rivals.removed(
            name="Remove other launchd jobs that start Colima", user="alice", profile="default",
            label="homebrew.mrcee.colima-pulse", clean="true", backup="/Users/alice/colima-pulse-backups",
        )
    """
    (definitions,) = ahead.get((Definitions, {"user": user, "label": label}))
    if definitions is None:
        yield from refuse("the launchd jobs that mention Colima cannot be read")
        return
    ours = {("system", label), ("system", pulse_label(label))}
    others = [job for job in definitions if (job.domain, job.label) not in ours]
    removes = []
    for job in others:
        why = why_left(job, user, profile)
        if why is None and clean != "false":
            removes.append(job)
        else:
            host.log(f"left alone: {named(job)}: {why or f'it starts profile {profile} as well'}")
    if not removes:
        host.noop("no other launchd job is to be removed")
        return
    explain(f"Remove what else starts Colima: {', '.join(map(named, removes))}")
    asks = clean == "prompt" and state.is_executing and is_read()
    for job in removes:
        question = f"[{host.name}] Remove {named(job)}, which starts Colima as well?"
        if asks and not terminal.ask(question, default=True):
            host.log(f"{named(job)} stays: two owners of one VM will disturb each other", logger.warning)
            continue
        yield live("remove-job", label, job.domain, job.label, job.path or "", backup)
