"""Bring back a Docker that worked before, by the smallest restart that helps.

    pyinfra @ssh/macmini.lan deploys/recover.py

`--dry` says what was found and what would be done. What was stopped on purpose is for deploys/start.py.
"""

from deploys import summary
from deploys.preflight import settings_of_host
from operations import recovery, toolkit

summary.at_end()
settings = settings_of_host()
if settings:
    toolkit.current(name="Update Colima Pulse's commands", label=settings.label)
    recovery.recovered(
        name="Recover Docker",
        user=settings.homebrew_user,
        profile=settings.colima_profile,
        label=settings.label,
        log=settings.log_path,
        start_seconds=settings.wait_start_max,
    )
summary.prepared()
