"""
Manage what a Mac does to save power.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from facts.power import Power, PowerState
from operations.util.commands import Commands, ask, explain, live, refuse

# What keeps a server up: it never sleeps, and starts again after a power failure (pmset(1)).
SERVER = {"sleep": 0, "disksleep": 0, "autorestart": 1}


def differing(power: PowerState) -> dict[str, str]:
    """What has to be set: of SERVER what some source of power has otherwise, and what that is."""
    found = {key: {each[key] for each in power.sources.values() if key in each} for key in SERVER}
    return {
        key: " and ".join(sorted(map(str, values))) for key, values in found.items() if values - {SERVER[key]}
    }


@operation()
def server(label: str) -> Commands:
    """
    Keep a Mac up as a server: never asleep, its disks neither, started again after a power failure.

    + label: the LaunchDaemon's label, as every command of the toolkit takes it

    Set is what differs on some source of power, for all of them; what this Mac does not have is left out, and
    everything else stays as it is.

    **Example:**

    .. code:: python

        power.server(name="Keep the Mac awake", label="homebrew.mrcee.colima-pulse")
    """
    power = ask(Power, _sudo=False)
    if power is None:
        yield from refuse("what pmset says of this Mac cannot be read; POWER=report leaves it alone")
        return
    changes = differing(power)
    if not changes:
        host.noop("this Mac never sleeps, and starts again after a power failure")
        return
    explain(
        "Keep the Mac awake: " + ", ".join(f"{key} {was} -> {SERVER[key]}" for key, was in changes.items())
    )
    yield live("set-power", label, *(f"{key}={SERVER[key]}" for key in changes))
