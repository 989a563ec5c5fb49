"""
Bring back a Docker that worked before, by the smallest restart that helps.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from facts.diagnosis import Diagnosis
from operations.util.commands import Commands, ask, explain, live, refuse


@operation()
def recovered(user: str, profile: str, label: str, log: str, start_seconds: int) -> Commands:
    """
    Keep a profile's Docker answering.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon's label
    + log: Colima's log
    + start_seconds: how long a start may take, until Docker answers

    Restarts as little as can help, and never what somebody has unloaded or disabled: that is refused.

    **Example:**

    .. code:: python

        recovery.recovered(
            name="Recover Docker", user="alice", profile="default", label="homebrew.mrcee.colima-pulse",
            log="/var/log/colima.log", start_seconds=300,
        )
    """
    found = ask(Diagnosis, user=user, profile=profile, label=label, log=log, start_seconds=start_seconds)
    if found is None:
        yield from refuse("what is wrong with Docker cannot be read")
    elif found.good:
        host.noop(found.found)
    elif found.refused:
        yield from refuse(found.found)
    else:
        explain(found.plan)
        yield live("recover", label)
