"""
Manage the Homebrew formulae that Colima Pulse needs.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from facts.mac import Homebrew, HomebrewState
from files import script
from operations.util import ahead
from operations.util.remote import Commands, LiveCommand, refuse

# What each formula brings; lima comes with colima, and qemu is optional for both.
TOOLS = {"colima": ("colima", "limactl"), "docker": ("docker",), "qemu": ("qemu-img",)}


def missing(tools: tuple[str, ...]) -> list[str]:
    """The formulae of which some tool is not among `tools`."""
    return [name for name, needs in TOOLS.items() if not set(needs) <= set(tools)]


def describe(found: HomebrewState) -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing."""
    names = missing(found.tools)
    return f"Install {', '.join(names)} with Homebrew" if names else None


@operation()
def formulae(user: str) -> Commands:
    """
    Keep colima, docker and qemu installed.

    + user: who owns Homebrew

    brew is called only when a tool is not in the prefix: it is slow, and never asked to update anything.

    **Example:**

    .. code:: python

        homebrew.formulae(name="Install colima", user="alice")
    """
    (found,) = ahead.get((Homebrew, {}))
    if found is None:
        yield from refuse("what is installed cannot be read")
        return
    names = missing(found.tools)
    if not names:
        host.noop("colima, docker and qemu are installed")
        return
    yield LiveCommand(*script("bin/install-formulae", user, *names).bits)
