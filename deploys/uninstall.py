"""Take Colima Pulse off a Mac: both LaunchDaemons, its scripts, state and logs.

pyinfra HOST deploys/uninstall.py --dry                   lists what would go and what stays
pyinfra HOST deploys/uninstall.py                         Colima is stopped in order; the VM and its data stay
pyinfra HOST deploys/uninstall.py --data delete_vm=true   the profile goes as well, into a backup

What takes the profile away is confirmed as a full reset is; backup=false deletes it.
"""

from operations.forecast import told
from operations.preflight import settings_of
from pyinfra import host, inventory
from pyinfra.context import ctx_host

from operations import colima, launchd, reset, summary, uninstall
from operations.util import terminal
from operations.util.fleet import leave_untouched
from operations.util.plist import pulse_label
from operations.util.remote import hosts_of_run, is_read

summary.at_end()
settings = settings_of(host, host.data.dict(), inventory.get_override_data())
user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label

found = uninstall.observe(ctx_host.get(), settings)
if found is None:
    leave_untouched([f"HOMEBREW_USER: this Mac knows no user {user}, or does not tell"])
if why := found.refusal:
    leave_untouched([why])
for line in found.plan() or ["There is nothing of Colima Pulse on this Mac"]:
    host.log(line)
# With several hosts the plan has told each of them.
described = told(uninstall.names(found)) if hosts_of_run() == 1 else {}
names = {
    "guard": f"Confirm that {found.place.name} goes",
    "state": f"Keep nothing of {found.place.name}",
    "pulse": "Keep the pulse away",
    "daemon": "Keep Colima from being started by launchd",
    "traces": "Keep no scripts, state and logs",
} | described

if found.deletes:
    # What is previewed may be no more than a dry run; the guard asks again when it comes to it.
    if not is_read() and (faults := reset.faults(settings, hosts_of_run(), has_terminal=terminal.is_there())):
        leave_untouched(faults)
    reset.confirmed(
        name=names["guard"],
        place=found.place,
        mode=settings.backup,
        word=settings.confirm_token,
        no_confirm=settings.no_confirm,
        force_yes=settings.force_yes,
        hosts=hosts_of_run(),
        anew=False,
    )
    reset.set_aside(name=names["state"], place=found.place, mode=settings.backup)

launchd.absent(name=names["pulse"], label=pulse_label(label), what="the pulse")
launchd.absent(
    name=names["daemon"],
    label=label,
    before_unload=colima.stop_command(user, profile),
    after_unload=colima.sweep_command(user, profile),
)
uninstall.untraced(name=names["traces"], user=user, label=label, log_path=settings.log_path)
