"""Stop Colima on purpose: in order, and over reboots too, until deploys/start.py or deploy.py starts it.

    pyinfra HOST deploys/stop.py

The pulse goes on, and leaves it alone.
"""

from pyinfra import host, inventory

from facts.colima import Strays
from facts.launchd import LaunchdJob
from operations import colima, launchd, strays, summary, switch
from operations.forecast import told
from operations.preflight import settings_of
from operations.util.remote import is_read, together

summary.at_end()
settings = settings_of(host, host.data.dict(), inventory.get_override_data())
user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label

names = {"daemon": "Keep Colima stopped", "strays": f"Keep profile {profile} from running otherwise"}
if is_read():
    job, running = together(
        (LaunchdJob, {"label": label}), (Strays, {"user": user, "profile": profile, "label": label})
    )
    names |= told(switch.stop_names(settings, job, running))

launchd.stopped(
    name=names["daemon"],
    label=label,
    before_unload=colima.stop_command(user, profile),
    after_unload=colima.sweep_command(user, profile),
)
strays.removed(name=names["strays"], user=user, profile=profile, label=label)
