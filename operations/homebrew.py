"""
Manage the Homebrew formulae that Colima Pulse needs.
"""

from __future__ import annotations

from pyinfra import host, state
from pyinfra.api import operation

from facts.homebrew import FORMULAE, Homebrew, Outdated
from operations.util import ahead
from operations.util.commands import Commands, ask, explain, live, refuse

# What each formula brings; lima comes with colima, and qemu is optional for both.
TOOLS = {"colima": {"colima", "limactl"}, "docker": {"docker"}, "qemu": {"qemu-img"}}


@operation()
def formulae(label: str) -> Commands:
    """
    Keep colima, docker and qemu installed.

    + label: the LaunchDaemon's label, for which the toolkit knows who owns Homebrew

    brew is called only when a tool is not in the prefix: it is slow, and never asked to update anything.

    **Example:**

    .. code:: python

        homebrew.formulae(name="Install colima, docker and qemu", label="homebrew.mrcee.colima-pulse")
    """
    (found,) = ahead.get((Homebrew, {}))
    if found is None:
        yield from refuse("what is installed cannot be read")
        return
    missing = [name for name, tools in TOOLS.items() if not tools <= set(found.tools)]
    if not missing:
        host.noop("colima, docker and qemu are installed")
        return
    explain(f"Install {', '.join(missing)} with Homebrew")
    yield live("install-formulae", label, *missing)


@operation()
def upgraded(label: str, user: str) -> Commands:
    """
    Keep colima, lima and qemu at the newest versions that Homebrew has.

    + label: the LaunchDaemon's label, for which the toolkit knows who owns Homebrew
    + user: who owns Homebrew

    Pinned ones are upgraded too, and stay pinned. What runs is not touched.

    **Example:**

    .. code:: python

        homebrew.upgraded(
            name="Upgrade colima, lima and qemu", label="homebrew.mrcee.colima-pulse", user="alice"
        )
    """
    upgrades = ask(Outdated, user=user)
    if upgrades is None:
        asking = f"brew outdated {' '.join(FORMULAE)}"
        yield from refuse(f"Homebrew does not tell what is outdated. Look, as {user}: {asking}")
        return
    if not upgrades:
        newest = "Homebrew has no newer colima, lima or qemu"
        # pyinfra shows what is said with noop() to -v alone.
        if not state.is_executing:
            host.log(newest)
        host.noop(newest)
        return
    explain(f"Upgrade {', '.join(map(str, upgrades))} with Homebrew")
    yield live("upgrade-formulae", label, *(each.name for each in upgrades))
