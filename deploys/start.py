"""Start Colima as it was deployed, after deploys/stop.py, and see Docker ready.

    pyinfra HOST deploys/start.py

Changes no setting: what differs from the settings is deploy.py's.
"""

from pyinfra import host, inventory

from facts.colima import ColimaProfile
from facts.docker import DockerEngine
from facts.launchd import LaunchdJob, Milestones
from operations import colima, diagnostics, docker, launchd, summary, switch
from operations.forecast import told
from operations.preflight import log_faults, place_of_log, settings_of
from operations.util.fleet import leave_untouched
from operations.util.remote import together

summary.at_end()
settings = settings_of(host, host.data.dict(), inventory.get_override_data())
user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
secrets = diagnostics.secrets_of(settings.colima_extra_args, {})

job, found, engine, notes, log = together(
    (LaunchdJob, {"label": label}),
    (ColimaProfile, {"user": user, "profile": profile}),
    (DockerEngine, {"user": user, "profile": profile}),
    (Milestones, {"label": label}),
    place_of_log(settings),
)
if why := switch.start_refusal(settings, job, found):
    leave_untouched([why])
if faults := log_faults(settings, log):
    leave_untouched(faults)
names = {
    "daemon": "Keep Colima started",
    "vm": "Keep Colima's VM running",
    "gates": "See Docker ready",
} | told(switch.start_names(settings, job, found, engine, notes))

launchd.started(name=names["daemon"], label=label)
colima.instance(
    name=names["vm"],
    user=user,
    profile=profile,
    label=label,
    log_path=settings.log_path,
    restart_seconds=settings.wait_qemu_max,
    hide_info=settings.colima_start_filter_info,
    secrets=secrets,
)
docker.engine(
    name=names["gates"],
    user=user,
    profile=profile,
    label=label,
    log_path=settings.log_path,
    socket_seconds=settings.wait_socket_max,
    api_seconds=settings.wait_docker_api_max,
    required=settings.wait_stable_required,
    secrets=secrets,
)
