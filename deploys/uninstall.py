"""Take Colima Pulse off a Mac: both LaunchDaemons, its commands, settings, state and logs.

pyinfra HOST deploys/uninstall.py --dry                   lists what would go and what stays
pyinfra HOST deploys/uninstall.py                         Colima is stopped in order; the VM and its data stay
pyinfra HOST deploys/uninstall.py --data delete_vm=true   the profile goes as well, into a backup

What takes the profile away is confirmed as a full reset is; backup=false deletes it.
"""

from pyinfra import host

from deploys import installation, summary
from deploys.preflight import leave, settings_of_host, unconfirmed
from operations import reset, toolkit, uninstall
from settings import Settings


def remove(settings: Settings, found: installation.Installation) -> None:
    """Everything that an uninstall takes, in order."""
    if found.deletes:
        reset.confirmed(
            name="Confirm the removal of the profile",
            place=found.place,
            mode=settings.backup,
            word=settings.confirm_token,
            no_confirm=settings.no_confirm,
            force_yes=settings.force_yes,
            anew=False,
        )
    # Also one that is half gone is taken off by this version's commands.
    if found.plan():
        toolkit.installed(
            name="Install Colima Pulse's commands",
            label=settings.label,
            settings=toolkit.configuration(settings, found.home, found.homebrew.prefix),
        )
    if found.deletes:
        reset.set_aside(name="Set the profile aside", place=found.place, mode=settings.backup)
    uninstall.removed(
        name="Uninstall Colima Pulse",
        user=settings.homebrew_user,
        label=settings.label,
        log_path=settings.log_path,
    )


summary.at_end()
settings = settings_of_host()
if settings:
    found = installation.observe(settings)
    if isinstance(found, str):
        leave([found])
    elif found.deletes and (faults := unconfirmed(settings)):
        leave(faults)
    else:
        for line in found.plan() or ["There is nothing of Colima Pulse on this Mac"]:
            host.log(line)
        remove(settings, found)
summary.prepared()
