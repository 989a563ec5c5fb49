"""Bring Docker up on a Mac before anyone logs in, and leave a Mac alone on which it is.

    pyinfra @local deploy.py            on the Mac itself
    pyinfra @ssh/macmini.lan deploy.py  from elsewhere

Every phase decides from what it finds when its turn comes. The names below are the forecast, for `--dry`.
"""

from pathlib import Path

from pyinfra import host, inventory, logger

from operations import (
    colima,
    containers,
    diagnostics,
    docker,
    forecast,
    homebrew,
    launchd,
    power,
    preflight,
    prune,
    recovery,
    reset,
    rivals,
    strays,
    summary,
)
from operations.util import installer
from operations.util.fleet import leave_untouched
from operations.util.plist import daemon_plist, pulse_label, pulse_plist
from operations.util.remote import hosts_of_run, is_read

# In the end, what it has come to on each host.
summary.at_end()

# 0  Preflight: all that is wrong is said at once, before anything is touched.
installers = installer.read(Path("containers"))
target = preflight.check(host, host.data.dict(), inventory.get_override_data(), installers, hosts_of_run())
settings, mac = target.settings, target.mac
user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
for warning in [*preflight.warnings(settings, mac), *installers.warnings]:
    host.log(warning, logger.warning)
host.log(f"{settings}", logger.debug)

plist = daemon_plist(settings, target.user.home, mac.homebrew.prefix)
if why := forecast.refusal(target, plist):
    leave_untouched([why])
names = forecast.names(target, plist, installers)
forecast.ask_ahead(target)
secrets = diagnostics.secrets_of(settings.colima_extra_args, installers.secrets)

# A full reset is confirmed before anything else happens.
if settings.full_reset:
    reset.confirmed(
        name=names.guard,
        place=target.place,
        mode=settings.backup,
        word=settings.confirm_token,
        no_confirm=settings.no_confirm,
        force_yes=settings.force_yes,
        hosts=hosts_of_run(),
    )

# A Mac that stays up, where that is wanted.
if settings.power == "server":
    power.server(name=names.power)

# 1  Dependencies
homebrew.formulae(name=names.dependencies, user=user)

# 2  launchd hygiene: one owner only.
rivals.removed(
    name=names.hygiene,
    user=user,
    home=target.user.home,
    profile=profile,
    label=label,
    clean=settings.clean_other_colima_daemons,
    backup=target.backup_dir,
    asks=is_read(),
)

# 3  State: made anew or put back when asked for; a reset that was cut off is taken up.
if settings.full_reset:
    reset.set_aside(name=names.state, place=target.place, mode=settings.backup)
elif settings.restore:
    reset.restored(name=names.state, place=target.place, backup=f"{target.backup_dir}/{settings.restore}")
elif target.profile.unfinished is not None:
    reset.resumed(name=names.state, place=target.place)

# 4  Process hygiene: what runs without launchd ends, in order where that can work.
strays.removed(
    name=names.strays,
    user=user,
    profile=profile,
    label=label,
)

# 5  Supervision: launchd owns Colima.
launchd.daemon(
    name=names.supervision,
    label=label,
    plist=plist,
    restart=settings.restart or target.replaced,
    before_unload=colima.stop_command(user, profile),
    after_unload=colima.sweep_command(user, profile),
    milestones=target.milestones,
)

# 6  Provisioning: the daemon's first start is the only one there is.
colima.instance(
    name=names.provisioning,
    user=user,
    profile=profile,
    label=label,
    log_path=settings.log_path,
    first_seconds=settings.wait_provision_max,
    restart_seconds=settings.wait_qemu_max,
    hide_info=settings.colima_start_filter_info,
    secrets=secrets,
)

# 7  Gates: nothing is called ready until it was used.
docker.engine(
    name=names.gates,
    user=user,
    profile=profile,
    label=label,
    log_path=settings.log_path,
    socket_seconds=settings.wait_socket_max,
    api_seconds=settings.wait_docker_api_max,
    required=settings.wait_stable_required,
    secrets=secrets,
)

# From here on the pulse looks after it, between deploys.
if settings.pulse:
    launchd.daemon(
        name=names.pulse,
        label=pulse_label(label),
        plist=pulse_plist(settings),
        runs="pulse",
        what="the pulse",
    )
else:
    launchd.absent(name=names.pulse, label=pulse_label(label), what="the pulse")

# 8  Prune: after a start only.
if (prune_mode := prune.mode_in_force(settings)) != prune.NONE:
    prune.pruned(
        name=names.prune,
        user=user,
        profile=profile,
        label=label,
        mode=prune_mode,
        force_yes=settings.force_yes,
        networks=installers.networks,
    )

# 9  Containers
containers.installed(
    name=names.containers,
    installers=installers,
    service=recovery.Service.of(settings, secrets),
    tries=settings.container_tries,
    debug=settings.container_debug_script,
    choices=containers.Choices.of(settings),
)
