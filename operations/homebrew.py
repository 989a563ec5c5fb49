"""
Manage the Homebrew formulae that Colima Pulse needs.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from facts.mac import Homebrew
from operations.util import ahead
from operations.util.commands import Commands, explain, live, refuse

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
