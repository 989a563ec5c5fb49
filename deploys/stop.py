"""Stop Colima gracefully, over reboots too, until deploys/start.py or deploy.py starts it.

    pyinfra HOST deploys/stop.py

The pulse goes on, and leaves it alone.
"""

from deploys import summary
from deploys.preflight import settings_of_host
from operations import launchd, strays, toolkit

summary.at_end()
settings = settings_of_host()
if settings:
    label = settings.label
    toolkit.current(name="Update Colima Pulse's commands", label=label)
    launchd.stopped(name="Stop Colima", label=label)
    strays.removed(
        name="Stop what runs of Colima without launchd",
        user=settings.homebrew_user,
        profile=settings.colima_profile,
        label=label,
    )
summary.prepared()
