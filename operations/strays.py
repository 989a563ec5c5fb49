"""
Manage what runs of a Colima profile without launchd, and what a crash has left of it.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pyinfra import host
from pyinfra.api import operation

from facts.colima import Strays, StraysState, profile_of
from operations.util import ahead
from operations.util.commands import Commands, explain, live, refuse


def short(command: str) -> str:
    """A command line as a person says it: the program and, where there is one, its verb."""
    program, _, rest = command.partition(" ")
    verb = re.match(r"[a-z]+(?= |$)", rest)
    name = PurePosixPath(program).name.removesuffix(":")
    return f"{name} {verb[0]}" if verb else name


def describe(strays: StraysState) -> str:
    """What is to go, and why."""
    if strays.processes:
        named = ", ".join(f"{short(command)} (pid {pid})" for pid, command in strays.processes)
        return f"Stop what runs of the profile without launchd: {named}"
    named = ", ".join(f"{PurePosixPath(path).name} ({why})" for path, why in strays.stale)
    return f"Remove what a crash has left of the profile: {named}"


def stop_of(instance: str, user: str) -> str:
    """The command by which a person stops another instance of Colima's."""
    if instance == "colima" or instance.startswith("colima-"):
        return f"sudo -H -u {user} colima stop --profile={profile_of(instance)}"
    return f"sudo -H -u {user} env LIMA_HOME=~{user}/.colima/_lima limactl stop {instance}"


@operation()
def removed(user: str, profile: str, label: str) -> Commands:
    """
    Keep a profile from running without launchd, and its directory free of what a crash has left.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon that supervises it

    Where the job is loaded, launchd supervises, and the job itself clears up before each start. Else the
    instance is stopped the way Colima does it, and what is left is ended, pid by verified pid. What refuses
    to go is named, and fails the host. Other profiles, and other users' processes, are never touched.

    **Example:**

    .. code:: python

        strays.removed(
            name="Stop what runs of Colima without launchd", user="alice", profile="default",
            label="homebrew.mrcee.colima-pulse",
        )
    """
    (found,) = ahead.get((Strays, {"user": user, "profile": profile, "label": label}))
    if found is None:
        yield from refuse(
            f"what runs of profile {profile} of {user} cannot be read, so nothing is stopped or started. "
            f"Look: sudo launchctl print system/{label}; ps -axww -o pid=,uid=,command="
        )
    elif found.held_by is not None:
        yield from refuse(
            f"the data disk of profile {profile} is in use by instance {found.held_by}, which runs. "
            f"Stop that first: {stop_of(found.held_by, user)}"
        )
    elif found.supervised:
        host.noop(f"launchd supervises all there is of profile {profile}")
    elif not found.processes and not found.stale:
        host.noop(f"nothing runs of profile {profile}, and no crash has left anything")
    else:
        explain(describe(found))
        yield live("remove-strays", label)
