"""
Take Colima Pulse off a Mac.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from facts.launchd import LaunchdJob
from facts.traces import Traces
from operations.launchd import is_absent
from operations.util.ahead import together
from operations.util.commands import Commands, explain, live, refuse
from operations.util.plist import pulse_label


@operation()
def removed(user: str, label: str, log_path: str) -> Commands:
    """
    Keep nothing of an installation on the Mac but the VM and backups.

    + user: who runs Colima
    + label: the LaunchDaemon's label
    + log_path: Colima's log

    Colima is stopped in order; both jobs go, with commands, settings, state and logs. What other
    installations use stays. While a reset is interrupted, everything does.

    **Example:**

    .. code:: python

        uninstall.removed(
            name="Uninstall Colima Pulse", user="alice", label="homebrew.mrcee.colima-pulse",
            log_path="/var/log/colima.log",
        )
    """
    pulse = pulse_label(label)
    *jobs, traces = together(
        (LaunchdJob, {"label": label}),
        (LaunchdJob, {"label": pulse}),
        (Traces, {"user": user, "label": label, "log_path": log_path}),
    )
    if traces is None or None in jobs:
        yield from refuse(f"what there is of {label} on this Mac cannot be read")
        return
    there = [name for name, job in zip((label, pulse), jobs, strict=True) if not is_absent(job)]
    if not (there or traces.paths):
        host.noop("there is nothing of it")
        return
    parts = [f"LaunchDaemon {name}" for name in there] + (
        [f"{len(traces.paths)} paths"] if traces.paths else []
    )
    explain(f"Uninstall Colima Pulse: {', '.join(parts)}")
    yield live("uninstall", label)
