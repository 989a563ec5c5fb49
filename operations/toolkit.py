"""
Manage the commands of Colima Pulse on a Mac, and what they know of each label.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra import host
from pyinfra.api import operation

from facts.toolkit import Toolkit
from files import archive, digest, script
from operations.util import ahead
from operations.util.commands import Commands, ask, command, explain, refuse
from operations.util.internals import Command
from settings import Settings


def configuration(settings: Settings, home: str, prefix: str) -> dict[str, str]:
    """What the commands of a label know, by the names of files/lib/command. Times are in seconds.

    `home` is the Homebrew user's, and `prefix` Homebrew's. Nothing of it is secret.
    """
    values = {
        "user": settings.homebrew_user,
        "home": home,
        "prefix": prefix,
        "profile": settings.colima_profile,
        "log": settings.log_path,
        "first_start_seconds": settings.wait_provision_max,
        "start_seconds": settings.wait_qemu_max,
        "socket_seconds": settings.wait_socket_max,
        "api_seconds": settings.wait_docker_api_max,
        "good_answers": settings.wait_stable_required,
        "hide_info": "yes" if settings.colima_start_filter_info else "no",
        "pulse_misses": settings.pulse_misses,
        "maintain_days": settings.maintain_every_days,
        # Nobody is asked there.
        "maintain_prune": "images" if settings.prune_mode == "aggressive" else settings.prune_mode,
        "log_max_mb": settings.log_max_mb,
        # The last: without it configure knows that not all has arrived.
        "log_keep": settings.log_keep,
    }
    return {key: str(value) for key, value in values.items()}


def _install() -> Command:
    return Command(*script("install", digest()).bits, _stdin=archive())


@operation()
def installed(label: str, settings: Mapping[str, str]) -> Commands:
    """
    Keep the toolkit of this version in /Library/ColimaPulse/bin, and a label's settings beside it.

    + label: the LaunchDaemon's label
    + settings: what the label's commands have to know: configuration()

    The toolkit is replaced as a whole, in one step.

    **Example:**

    .. code:: python

        toolkit.installed(
            name="Install Colima Pulse's commands", label="homebrew.mrcee.colima-pulse",
            settings=configuration(settings, "/Users/alice", "/opt/homebrew"),
        )
    """
    (found,) = ahead.get((Toolkit, {"label": label}))
    if found is None:
        yield from refuse("what is installed in /Library/ColimaPulse cannot be read")
        return
    replaces = found.digest != digest()
    configures = not found.safe or found.settings != dict(settings)
    if not (replaces or configures):
        host.noop("the toolkit and its settings are as they should be")
        return
    if replaces:
        explain(
            "Install Colima Pulse's commands" if found.digest is None else "Update Colima Pulse's commands"
        )
    if configures:
        changed = [key for key, value in settings.items() if found.settings.get(key) != value]
        which = f": {', '.join(changed)}" if found.settings and changed else ""
        explain(f"Write down the settings of {label}{which}")
    if replaces:
        yield _install()
    if configures:
        yield command(
            "configure", label, stdin="".join(f"{key}={value}\n" for key, value in settings.items())
        )


@operation()
def current(label: str) -> Commands:
    """
    Keep the toolkit of this version where a deploy has installed one; its settings stay as they are.

    + label: the LaunchDaemon's label

    Refuses where none is installed for this label: only a deploy knows what it needs.

    **Example:**

    .. code:: python

        toolkit.current(name="Update Colima Pulse's commands", label="homebrew.mrcee.colima-pulse")
    """
    found = ask(Toolkit, label=label)
    if found is None:
        yield from refuse("what is installed in /Library/ColimaPulse cannot be read")
    elif not found.safe or found.digest is None:
        yield from refuse(f"{label} has never been deployed to this Mac, or was uninstalled. Run deploy.py")
    elif found.digest == digest():
        host.noop("the toolkit is of this version")
    else:
        explain("Update Colima Pulse's commands")
        yield _install()
