"""Upgrade colima, lima and qemu with Homebrew, and restart Colima once where it then runs on older ones.

    pyinfra HOST deploys/upgrade.py

`--dry` says what would change, from which version to which. What is pinned stays pinned, and a stopped Colima
stopped. When Homebrew fails, the VM runs on as it is.
"""

from deploys import summary
from deploys.preflight import leave, settings_of_host, start_faults
from facts.launchd import LaunchdJob
from operations import colima, docker, homebrew, launchd, toolkit
from operations.util.commands import ask
from operations.util.internals import is_read

summary.at_end()
settings = settings_of_host()
if settings and (faults := start_faults(settings)):
    leave(faults)
elif settings:
    user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
    toolkit.current(name="Update Colima Pulse's commands", label=label)
    upgrade = homebrew.upgraded(name="Upgrade colima, lima and qemu", label=label, user=user)
    launchd.restarted(
        name="Restart Colima after an upgrade",
        label=label,
        user=user,
        upgrade=is_read() and upgrade.will_change,
    )
    if (job := ask(LaunchdJob, label=label)) and job.loaded:
        colima.started(name="Wait until Colima has started", user=user, profile=profile, label=label)
        docker.ready(
            name="Wait until Docker is ready",
            user=user,
            profile=profile,
            label=label,
            required=settings.wait_stable_required,
        )
summary.prepared()
