"""Stop Colima gracefully, over reboots too, until deploys/start.py or deploy.py starts it.

    pyinfra HOST deploys/stop.py

The pulse goes on, and leaves it alone.
"""

from pyinfra import host, inventory
from pyinfra.context import ctx_host

from deploys.preflight import settings_of
from operations import launchd, strays, toolkit
from operations.util import summary

summary.at_end()
settings = settings_of(host, host.data.dict(), inventory.get_override_data())
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
summary.prepared(ctx_host.get().name)
