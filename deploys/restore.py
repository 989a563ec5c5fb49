"""Put a backup of a full reset back; what is there now becomes a backup itself.

pyinfra HOST deploys/restore.py                      lists the backups
pyinfra HOST deploys/restore.py --data restore=NAME  puts one back, and deploys
"""

from pyinfra import host, inventory, local

from facts.backup import Backups
from facts.mac import User, UserState
from operations.reset import gib
from operations.util.fleet import leave_out
from operations.util.remote import ask
from settings import Settings

# An inventory's is ignored, as deploy.py does.
if inventory.get_override_data().get("restore"):
    local.include("deploy.py")
else:
    settings, faults = Settings.parse(host.data.dict())
    user = ask(User, user=settings.homebrew_user) if settings.homebrew_user else None
    if faults or not isinstance(user, UserState):
        leave_out("; ".join(map(str, faults)) or f"{settings.homebrew_user} is no user of this Mac")
    directory = settings.backup_dir(user.home)
    backups = ask(Backups, user=settings.homebrew_user, backup=directory)
    if backups is None:
        leave_out(f"the backups in {directory} cannot be read")
    host.log(f"{directory}: " + (f"{len(backups)} backups" if backups else "no backups"))
    for each in backups:
        made = f"profile {each.profile}, made {each.made}" if each.complete else "not complete"
        host.log(f"  {each.name}: {made}, {gib(each.kib)}")
