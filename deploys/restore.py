"""Put a backup of a full reset back; what is there now becomes a backup itself.

pyinfra HOST deploys/restore.py                      lists the backups
pyinfra HOST deploys/restore.py --data restore=NAME  puts one back, and deploys
"""

from pyinfra import host, inventory, local, state

from deploys.faults import unknown_user
from deploys.preflight import leave, settings_of_host
from facts.backup import Backups
from facts.mac import User, UserState
from operations.util.commands import ask
from operations.util.internals import end_after_all, say_refusals
from operations.util.words import size
from settings import Settings


def show(settings: Settings) -> None:
    """Say which backups there are; leave the host where they cannot be read."""
    user = ask(User, user=settings.homebrew_user)
    if not isinstance(user, UserState):
        leave([unknown_user(settings.homebrew_user)])
        return
    directory = settings.backup_dir(user.home)
    backups = ask(Backups, user=settings.homebrew_user, backup=directory)
    if backups is None:
        leave([f"the backups in {directory} cannot be read"])
        return
    host.log(f"{directory}: {len(backups) or 'no'} backup{'' if len(backups) == 1 else 's'}")
    for each in backups:
        made = f"profile {each.profile}, made {each.made}" if each.complete else "not complete"
        host.log(f"  {each.name}: {made}, {size(1024 * each.kib)}")


def finish() -> int:
    """The exit status of a run that has listed backups: 1 where a host was refused or not reached."""
    say_refusals()
    return int(bool(state.failed_hosts))


# An inventory's is ignored, as deploy.py does.
if inventory.get_override_data().get("restore"):
    local.include("deploy.py")
else:
    if settings := settings_of_host():
        show(settings)
    # Nothing is left that pyinfra could ask about.
    end_after_all(finish)
