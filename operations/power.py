"""
Manage what a Mac does to save power.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from facts.power import Power, PowerState
from operations.util.remote import Commands, ask, refuse

# What keeps a server up: it never sleeps, and starts again after a power failure (pmset(1)).
SERVER = {"sleep": 0, "disksleep": 0, "autorestart": 1}


def differing(power: PowerState, wanted: Mapping[str, int] = SERVER) -> dict[str, int]:
    """What has to be set: of `wanted` what some source of power has otherwise."""
    return {
        key: value
        for key, value in wanted.items()
        if any(settings.get(key, value) != value for settings in power.sources.values())
    }


def _was(power: PowerState, key: str) -> str:
    values = {str(settings[key]) for settings in power.sources.values() if key in settings}
    return " and ".join(sorted(values))


def describe(power: PowerState | None) -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing."""
    if power is None or not (changes := differing(power)):
        return None
    words = ", ".join(f"{key} {_was(power, key)} -> {value}" for key, value in changes.items())
    return f"Keep the Mac awake: {words}"


def _seen(state: State, host: Host) -> bool:
    """Warn of what pmset took and the Mac has not: a configuration profile may say otherwise."""
    power = host.get_fact(Power, _sudo=False)
    stubborn = differing(power) if power is not None else {}
    if power is not None and stubborn:
        words = ", ".join(f"{key} is {_was(power, key)}" for key in stubborn)
        host.log(f"pmset took it, and still {words}: does a configuration profile set it?", logger.warning)
    return True


@operation()
def server() -> Commands:
    """
    Keep a Mac up as a server: never asleep, its disks neither, started again after a power failure.

    Set is what differs on some source of power, for all of them; what this Mac does not have is left out, and
    everything else stays as it is.

    **Example:**

    .. code:: python

        power.server(name="Keep the Mac awake")
    """
    power = ask(Power, _sudo=False)
    if power is None:
        yield from refuse("what pmset says of this Mac cannot be read; POWER=report leaves it alone")
        return
    changes = differing(power)
    if not changes:
        host.noop("this Mac never sleeps, and starts again after a power failure")
        return
    if state.is_executing:
        host.log(f"{describe(power)}")
    words = [word for key, value in changes.items() for word in (key, str(value))]
    yield StringCommand("/usr/bin/pmset", "-a", *words)
    yield FunctionCommand(_seen, (), {})
