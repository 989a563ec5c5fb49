"""Bring Docker up on a Mac before anyone logs in, and leave a Mac alone on which it is.

    pyinfra @local deploy.py            on the Mac itself
    pyinfra @ssh/macmini.lan deploy.py  from elsewhere

Every operation decides from what it finds when its turn comes, and says what it changes, and why.
"""

from pathlib import Path

from pyinfra import config, host, logger

from deploys import preflight, summary
from operations import (
    colima,
    containers,
    docker,
    homebrew,
    launchd,
    power,
    prune,
    reset,
    rivals,
    strays,
    toolkit,
)
from operations.util import installer
from operations.util.plist import daemon_plist, pulse_label, pulse_plist

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"


def lifecycle(target: preflight.Target, installers: installer.Installers) -> None:
    """Everything that a deploy keeps, in order."""
    settings, place = target.settings, target.place
    user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label

    # A full reset is confirmed before anything else happens.
    if settings.full_reset:
        reset.confirmed(
            name="Confirm the full reset",
            place=place,
            mode=settings.backup,
            word=settings.confirm_token,
            no_confirm=settings.no_confirm,
            force_yes=settings.force_yes,
        )

    # 1  What everything below runs on the Mac.
    toolkit.installed(
        name="Install Colima Pulse's commands",
        label=label,
        settings=toolkit.configuration(settings, target.user.home, target.mac.homebrew.prefix),
    )
    if settings.power == "server":
        power.server(name="Keep the Mac awake", label=label)

    # 2  Dependencies
    homebrew.formulae(name="Install colima, docker and qemu", label=label)

    # 3  launchd hygiene: one owner only.
    rivals.removed(
        name="Remove other launchd jobs that start Colima",
        user=user,
        profile=profile,
        label=label,
        clean=settings.clean_other_colima_daemons,
        backup=target.backup_dir,
    )

    # 4  State: made anew or put back when asked for; a reset that was cut off is taken up.
    if settings.full_reset:
        reset.set_aside(name="Set the profile aside", place=place, mode=settings.backup)
    elif settings.restore:
        reset.restored(
            name="Restore the backup", place=place, backup=f"{target.backup_dir}/{settings.restore}"
        )
    elif target.profile.unfinished is not None:
        reset.resumed(name="Finish the interrupted reset", place=place)

    # 5  Process hygiene: what runs without launchd ends, in order where that can work.
    strays.removed(name="Stop what runs of Colima without launchd", user=user, profile=profile, label=label)

    # 6  Supervision: launchd owns Colima.
    launchd.daemon(
        name="Keep Colima loaded in launchd",
        label=label,
        plist=daemon_plist(settings, target.user.home, target.mac.homebrew.prefix),
        restart=target.restart,
        milestones=target.milestones,
    )

    # 7  Provisioning: the daemon's first start is the only one there is.
    colima.started(name="Wait until Colima has started", user=user, profile=profile, label=label)

    # 8  Gates: nothing is called ready until it was used.
    docker.ready(
        name="Wait until Docker is ready",
        user=user,
        profile=profile,
        label=label,
        required=settings.wait_stable_required,
    )

    # 9  From here on the pulse looks after it, between deploys.
    if settings.pulse:
        launchd.daemon(
            name="Keep the pulse loaded in launchd",
            label=label,
            plist=pulse_plist(settings),
            what="the pulse",
        )
    else:
        launchd.absent(name="Remove the pulse", label=label, target=pulse_label(label), what="the pulse")

    # 10  Prune: after a start only.
    if (mode := prune.mode_in_force(settings)) != prune.NONE:
        prune.pruned(
            name="Prune Docker after a start",
            user=user,
            profile=profile,
            label=label,
            mode=mode,
            force_yes=settings.force_yes,
            networks=installers.networks,
        )

    # 11  Containers
    containers.installed(
        name="Keep the containers as their installers say",
        installers=installers,
        label=label,
        user=user,
        profile=profile,
        tries=settings.container_tries,
        debug=settings.container_debug_script,
        only=settings.only,
        reinstall=settings.reinstall,
        remove_unowned=settings.remove_unowned,
        pull=settings.pull,
    )


# In the end, what it has come to on each host.
summary.at_end()

# 0  Preflight: all that is wrong is said at once, before anything is touched.
installers = installer.read(Path("containers"))
target = preflight.check(installers)
if target:
    for warning in [*target.warnings, *installers.warnings]:
        host.log(warning, logger.warning)
    lifecycle(target, installers)
summary.prepared()
