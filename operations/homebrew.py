"""
Manage the Homebrew formulae that Colima Pulse needs.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation
from pyinfra.operations import brew

from facts.mac import Homebrew, HomebrewState
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
def formulae() -> Commands:
    """
    Keep colima, docker and qemu installed. Call it with `_sudo_user`, as the user who owns Homebrew.

    brew is called only when a tool is not in the prefix: it is slow, and never asked to update anything.

    **Example:**

    .. code:: python

        homebrew.formulae(name="Install colima", _sudo=True, _sudo_user="alice", _env={"PATH": "..."})
    """
    (found,) = ahead.get((Homebrew, {}))
    if found is None:
        yield from refuse("what is installed cannot be read")
        return
    names = missing(found.tools)
    if not names:
        host.noop("colima, docker and qemu are installed")
        return
    commands = list(brew.packages._inner(packages=names))
    if not commands:
        yield from refuse(
            f"Homebrew has {', '.join(names)} installed, but not in {found.prefix}/bin. "
            f"As {found.owner}: brew link {' '.join(names)}"
        )
        return
    for command in commands:
        yield LiveCommand(str(command))
