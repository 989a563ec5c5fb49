"""Start Colima as it was deployed, after deploys/stop.py, and wait until Docker is ready.

    pyinfra HOST deploys/start.py

Changes no setting: what differs from the settings is deploy.py's.
"""

from deploys import summary
from deploys.preflight import leave, settings_of_host, start_faults
from operations import launchd, toolkit

summary.at_end()
settings = settings_of_host()
if settings and (faults := start_faults(settings)):
    leave(faults)
elif settings:
    toolkit.current(name="Update Colima Pulse's commands", label=settings.label)
    launchd.started(
        name="Start Colima, and wait until Docker is ready",
        label=settings.label,
        required=settings.wait_stable_required,
    )
summary.prepared()
