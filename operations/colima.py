"""
Manage the Colima profile that the LaunchDaemon starts.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from facts.colima import QEMU, RUNNING, ColimaProfile
from facts.launchd import FIRST_START, Milestones
from operations.util import ahead
from operations.util.commands import Commands, explain, live, refuse


@operation()
def started(user: str, profile: str, label: str) -> Commands:
    """
    Keep the profile's instance running on QEMU, as the LaunchDaemon starts it.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon that starts it

    Starts nothing itself: the daemon's start is the only one there is. A first start that fails, or that
    comes up on another hypervisor, is undone.

    **Example:**

    .. code:: python

        colima.started(
            name="Wait until Colima has started", user="alice", profile="default",
            label="homebrew.mrcee.colima-pulse",
        )
    """
    found, notes = ahead.get(
        (ColimaProfile, {"user": user, "profile": profile}), (Milestones, {"label": label})
    )
    if found is None and notes is None:
        yield from refuse(f"Lima's answer about profile {profile} of {user} cannot be read")
        return
    runs = found is not None and (found.status, found.vm_type) == (RUNNING, QEMU)
    if runs and notes is not None and FIRST_START not in notes:
        host.noop(f"profile {profile} runs on {QEMU}")
        return
    if FIRST_START in (notes or {}):
        explain(f"Make profile {profile} by the daemon's first start")
    else:
        status = found.status if found is not None else "unknown"
        explain(f"Bring profile {profile} up on {QEMU} (Lima: {status or 'no instance'})")
    yield live("follow-start", label)
