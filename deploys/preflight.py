"""
Check a host before anything on it is touched: the settings, and the Mac and the profile they meet.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pyinfra import logger
from pyinfra.api import DeployError, Host, operation
from pyinfra.context import ctx_host

from facts.backup import Backups, Unit
from facts.colima import ColimaProfile, Log, LogPart, ProfileState, Strays
from facts.docker import DockerEngine
from facts.launchd import FIRST_START, PRUNE_DUE, LaunchdJob, Milestones
from facts.mac import Homebrew, Mac, MacState, NoUser, User, UserState
from facts.rivals import Definitions
from facts.toolkit import Toolkit
from facts.util import plain
from operations import containers, prune, reset
from operations.launchd import unreadable, unstartable
from operations.util import ahead, terminal
from operations.util.ahead import Question, together
from operations.util.commands import Commands, ask, refuse
from operations.util.installer import Installers
from operations.util.internals import hosts_of_run, is_read, note_refusal, tune
from operations.util.plist import pulse_label
from settings import Fault, Settings, without_danger

# colima start has no --vm-type before macOS 13 (colima cmd/start.go).
OLDEST_MACOS = 13

# A socket's path on macOS holds 104 bytes; Lima makes LIMA_HOME/INSTANCE/ssh.sock.<16 characters>
# (lima pkg/instance).
SOCKET_PATH = 104

INSTALL_HOMEBREW = (
    '/bin/bash -c "$(curl -fsSL https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh)"'
)
GIB = 1024**3


@dataclass(frozen=True)
class Target:
    """One host, checked: what it is to become, and what it is."""

    settings: Settings
    mac: MacState
    user: UserState
    profile: ProfileState
    stamp: str = field(default_factory=reset.stamp)

    @property
    def replaced(self) -> bool:
        """Whether the profile that is there is set aside in this run."""
        return self.settings.full_reset or bool(self.settings.restore)

    @property
    def restart(self) -> str:
        """Why the daemon is restarted although nothing of it differs; empty: it is not."""
        if self.replaced:
            return "its profile is replaced"
        return "asked for with restart=true" if self.settings.restart else ""

    @property
    def first_start(self) -> bool:
        """Whether the daemon's next start makes the profile."""
        return not self.settings.restore and (self.settings.full_reset or not self.profile.provisioned)

    @property
    def milestones(self) -> tuple[str, ...]:
        """What is still to be done after a start that this run makes."""
        due = {
            FIRST_START: self.first_start,
            PRUNE_DUE: prune.mode_in_force(self.settings) != prune.NONE,
        }
        return tuple(name for name, is_due in due.items() if is_due)

    @property
    def place(self) -> reset.Place:
        """The profile as a reset knows it, with the backup that this run would make."""
        return reset.Place.of(self.settings, self.user.home, self.stamp, self.profile.other_dir)

    @property
    def backup_dir(self) -> str:
        """Where what is removed goes, as an absolute path."""
        return self.settings.backup_dir(self.user.home)


class Refused(Exception):
    """A host is left as it is, for these faults."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(*faults)
        self.faults = tuple(faults)


@operation()
def untouched(faults: Sequence[str]) -> Commands:
    """
    Leave a host as it is, and fail it.

    + faults: why

    **Example:**

    .. code:: python

        preflight.untouched(name="Preflight", faults=["COLIMA_CPUS: 64; this Mac has 8 CPUs"])
    """
    yield from refuse("\n".join(["nothing was touched.", *(f"  - {fault}" for fault in faults)]))


def leave(faults: Sequence[str]) -> None:
    """Leave this host as it is: among several it alone fails, and the others go on.

    Raises DeployError, which ends the run, where it is the only one.
    """
    host = ctx_host.get()
    note_refusal(host, tuple(faults))
    if hosts_of_run() == 1:
        raise DeployError(
            "\n".join([f"{host.name}: nothing was touched.", *(f"  - {each}" for each in faults)])
        )
    untouched(name="Preflight", faults=list(faults))


def mac_faults(settings: Settings, mac: MacState) -> list[str]:
    """What of the Mac itself is in the way, and which settings are above it."""
    if mac.kernel != "Darwin":
        return [f"this is {mac.kernel or 'unknown'}, not macOS"]
    faults = []
    if mac.arch not in ("arm64", "x86_64"):
        faults.append(f"the architecture {mac.arch or 'unknown'} is neither arm64 nor x86_64")
    if not mac.macos_version or mac.macos_version[0] < OLDEST_MACOS:
        faults.append(
            f"macOS {mac.macos or 'unknown'} is too old: Colima takes --vm-type from macOS {OLDEST_MACOS} on"
        )
    if mac.homebrew.brew is None:
        faults.append(f"Homebrew is missing; as its future owner: {INSTALL_HOMEBREW}")
    elif not mac.homebrew.brew.startswith(f"{mac.homebrew.prefix}/"):
        faults.append(
            f"the Homebrew in {mac.homebrew.brew} is an Intel one, and this Mac is Apple Silicon: its QEMU "
            f"would be emulated. Install the native one in {mac.homebrew.prefix}: {INSTALL_HOMEBREW}"
        )
    above = [
        ("COLIMA_CPUS", settings.colima_cpus, mac.cpus, "CPUs"),
        ("COLIMA_MEMORY", settings.colima_memory, mac.memory and mac.memory / GIB, "GiB of memory"),
        ("COLIMA_DISK", settings.colima_disk, mac.volume_size and mac.volume_size // GIB, "GiB of disk"),
    ]
    for key, wanted, has, unit in above:
        if has and wanted > has:
            faults.append(str(Fault(key, wanted, f"this Mac has {has:g} {unit}")))
    return faults


def user_faults(settings: Settings, mac: MacState, user: UserState | NoUser | None) -> list[str]:
    """What of the Homebrew user is in the way."""
    name = settings.homebrew_user
    if isinstance(user, NoUser):
        hint = f"; {mac.homebrew.brew} belongs to {mac.homebrew.owner}" if mac.homebrew.owner else ""
        return [str(Fault("HOMEBREW_USER", name, f"this Mac has no such user{hint}"))]
    if user is None:
        return [f"HOMEBREW_USER: what this Mac knows of {name!r} cannot be read"]
    faults = []
    if plain(user.home) != user.home:
        faults.append(f"HOMEBREW_USER: the home {user.home!r} of {name} has control characters in its path")
    if user.uid == 0:
        faults.append(str(Fault("HOMEBREW_USER", name, "a user other than root")))
    if not user.home_present:
        faults.append(
            f"HOMEBREW_USER: the home {user.home} of {name} is not there now (a volume that is not mounted?)"
        )
    if mac.homebrew.owner not in (None, name):
        faults.append(
            str(
                Fault("HOMEBREW_USER", name, f"{mac.homebrew.brew} belongs to {mac.homebrew.owner}: use that")
            )
        )
    if settings.launch_via == "su" and PurePosixPath(user.shell).name in ("false", "nologin", "true"):
        faults.append(
            str(
                Fault(
                    "LAUNCH_VIA",
                    "su",
                    f"the login shell of {name} is {user.shell}, which runs nothing: LAUNCH_VIA=user, or "
                    f"sudo chsh -s /bin/zsh {name}",
                )
            )
        )
    room = SOCKET_PATH - 1 - len(f"{user.home}/.colima/_lima/colima-/ssh.sock.{'x' * 16}".encode())
    if room < (-1 if settings.colima_profile == "default" else len(settings.colima_profile)):
        longest = f"at most {room} characters" if room > 0 else "none fits"
        faults.append(
            str(
                Fault(
                    "COLIMA_PROFILE",
                    settings.colima_profile,
                    f"Lima's sockets would have too long a path: {longest} with the home {user.home}",
                )
            )
        )
    return faults


def log_faults(settings: Settings, log: LogPart | None) -> list[str]:
    """What of the log's place is in the way: root makes the log, keeps it small and removes it."""
    if log is None or log.exposed is None:
        return []
    elsewhere = "" if "sudo mkdir" in log.exposed else ": choose a file in /var/log"
    return [str(Fault("LOG_PATH", settings.log_path, f"{log.exposed}{elsewhere}"))]


def state_faults(settings: Settings, profile: ProfileState) -> list[str]:
    """What is wrong with a second state directory: only one of them can be the one that is used."""
    if profile.other_dir is None or profile.unfinished is not None:
        return []
    mine, other = f"{profile.home}/.colima", profile.other_dir
    strangers = [name for name in profile.other_profiles if name != settings.colima_profile]
    if settings.full_reset:
        if not strangers:
            return []
        return [
            f"{other} holds other profiles as well ({', '.join(strangers)}), which a full reset of "
            f"{settings.colima_profile} leaves alone: move it away yourself, with Colima stopped"
        ]

    def held(names: tuple[str, ...]) -> str:
        return f"holds {', '.join(names)}" if names else "holds no profile"

    colima = f"as {settings.homebrew_user}, with Colima stopped"
    anew = "or make the profile anew, both kept as a backup: --data full_reset=true"
    if not profile.state_dir:
        return [
            f"Colima's state is in {other} ({held(profile.other_profiles)}), and Colima Pulse uses {mine}. "
            f"To keep it, {colima}: mv {shlex.quote(other)} {shlex.quote(mine)}; {anew}"
        ]
    aside = f"{mine}.aside"
    return [
        f"there are two state directories: {mine} is used and {held(profile.profiles)}; {other} is not and "
        f"{held(profile.other_profiles)}. To keep the first, {colima}: "
        f"mv {shlex.quote(other)} {shlex.quote(aside)}; to keep the second: "
        f"mv {shlex.quote(mine)} {shlex.quote(aside)} && mv {shlex.quote(other)} {shlex.quote(mine)}; {anew}"
    ]


def backup_faults(settings: Settings, backups: list[Unit] | None) -> list[str]:
    """What is wrong with the backup that is to be put back."""
    if backups is None:
        return [str(Fault("RESTORE", settings.restore, "the backups on this Mac cannot be read"))]
    found = next((each for each in backups if each.name == settings.restore), None)
    if found is None:
        names = ", ".join(each.name for each in backups if each.complete)
        return [str(Fault("RESTORE", settings.restore, f"there is {names or 'no backup'}"))]
    wrong = []
    if not found.complete:
        wrong.append("it is not complete")
    if found.profile != settings.colima_profile:
        wrong.append(f"it is one of profile {found.profile}: set COLIMA_PROFILE={found.profile}")
    if found.vm_type not in (None, settings.colima_vm_type):
        wrong.append(f"its VM is one of {found.vm_type}")
    if found.disk is not None and found.disk > settings.colima_disk:
        wrong.append(f"its disk has {found.disk} GiB and can only grow: set COLIMA_DISK={found.disk} or more")
    return [str(Fault("RESTORE", settings.restore, why)) for why in wrong]


def profile_faults(settings: Settings, profile: ProfileState | None, prefix: str) -> list[str]:
    """What of an existing profile is in the way: it cannot be converted, and its disk only grows."""
    if profile is None:
        return [
            f"Lima's answer about profile {settings.colima_profile} cannot be read. Look, as "
            f"{settings.homebrew_user}: LIMA_HOME=~/.colima/_lima {prefix}/bin/limactl list"
        ]
    name, faults = settings.colima_profile, []
    for other in profile.profiles:
        if other != name and other.casefold() == name.casefold():
            allowed = f"there is {other}, and a Mac's disk takes both for one name"
            return [str(Fault("COLIMA_PROFILE", name, allowed))]
    if settings.full_reset or settings.restore or profile.unfinished is not None:
        return []
    anew = "To make it anew, the old one kept as a backup: --data full_reset=true"
    if profile.vm_type not in (None, settings.colima_vm_type):
        colima = f"sudo -H -u {settings.homebrew_user} {prefix}/bin/colima"
        keeps = (
            "To keep its data disk, and so images, containers and volumes: "
            f"{colima} stop --profile {name}; {colima} delete --force --profile {name}"
            if profile.data_disk
            else "It has no data disk: all its images, containers and volumes are in that backup only"
        )
        faults.append(
            f"profile {name} runs on {profile.vm_type}, and a VM cannot be converted to "
            f"{settings.colima_vm_type}. {anew}. {keeps}"
        )
    if profile.runtime not in (None, settings.colima_runtime):
        faults.append(
            f"profile {name} was made for the runtime {profile.runtime}, and its disk cannot be "
            f"converted to {settings.colima_runtime}: choose another COLIMA_PROFILE. {anew}"
        )
    if profile.disk is not None and settings.colima_disk < profile.disk:
        faults.append(
            str(
                Fault(
                    "COLIMA_DISK",
                    settings.colima_disk,
                    f"the disk of profile {name} has {profile.disk} GiB and can only grow: "
                    f"set COLIMA_DISK={profile.disk}. {anew}",
                )
            )
        )
    return faults


def prune_faults(settings: Settings, profile: ProfileState | None) -> list[str]:
    """Why nobody could be asked about the prune that follows a start that this run is sure to make.

    What is previewed is not refused: it may be no more than a dry run.
    """
    anew = settings.full_reset or bool(settings.restore) or (profile is not None and not profile.provisioned)
    why = prune.fault(prune.mode_in_force(settings), settings.force_yes)
    return [why] if why and (settings.restart or anew) and not is_read() else []


def power_warnings(mac: MacState) -> list[str]:
    """What of its power settings takes the Mac away, sooner or later. Disks alone wake by themselves."""
    words, settings = [], []
    if mac.sleep_minutes:
        words.append(f"this Mac sleeps after {mac.sleep_minutes} min")
        settings.append("sleep 0")
    if mac.sleep_minutes and mac.disk_sleep_minutes:
        words.append(f"its disks after {mac.disk_sleep_minutes} min")
        settings.append("disksleep 0")
    if mac.auto_restart is False:
        words.append("it stays off after a power failure")
        settings.append("autorestart 1")
    return [f"{', '.join(words)}: sudo pmset -a {' '.join(settings)}, or POWER=server"] if words else []


def _variables(flags: Sequence[str]) -> list[str]:
    """The names of the variables that flags of `colima start` set in the VM."""
    pairs: list[str] = []
    for word, following in zip(flags, (*flags[1:], ""), strict=False):
        flag, equals, value = word.partition("=")
        if flag == "--env":
            # Several are a line of CSV, as pflag reads them.
            pairs += next(csv.reader([value if equals else following]), [])
    names = [name for name, equals, _ in (pair.partition("=") for pair in pairs) if equals]
    return [name for name in names if re.fullmatch(r"\w+", name)]


def warnings(settings: Settings, mac: MacState) -> list[str]:
    """What does not stop a deploy, and will be noticed on the day the power fails."""
    found = []
    if mac.filevault:
        found.append(
            "FileVault is on: after a boot nothing starts until someone unlocks the disk once "
            "(or restarts with `sudo fdesetup authrestart`)"
        )
    if settings.power != "server":
        found += power_warnings(mac)
    if settings.colima_memory < 2:
        found.append(f"COLIMA_MEMORY is {settings.colima_memory:g} GiB: below 2, pulls are flaky")
    if names := _variables(settings.colima_extra_args):
        found.append(
            f"COLIMA_EXTRA_ARGS sets {', '.join(names)} with --env: every user of this Mac can read the "
            "value in `ps` and in the plist; secrets belong in containers/.env"
        )
    if mac.rosetta:
        found.append("this session runs under Rosetta; the Mac is Apple Silicon")
    return found


def settings_of(host: Host, data: Mapping[str, Any], asked: Mapping[str, Any]) -> Settings | None:
    """The settings of a host for a deploy file that makes nothing anew; see check().

    None where something is wrong with them; the host is left as it is then.
    """
    tune(host)
    safe, ignored = without_danger(data, asked)
    for warning in ignored:
        host.log(warning, logger.warning)
    settings, faults = Settings.parse(safe)
    if faults:
        leave([str(fault) for fault in faults])
        return None
    return settings


def place_of_log(settings: Settings) -> Question:
    """Whether root may work on the log, without reading it: what log_faults() judges."""
    return Log, {"path": settings.log_path, "offset": -1}


def check(
    host: Host, data: Mapping[str, Any], asked: Mapping[str, Any], installers: Installers
) -> Target | None:
    """Check a host, and return what it is to become and what it is; None where it is left as it is.

    `data` is the host's, and `asked` what of it `--data` gave; `installers` are what containers/ holds.
    Everything that is wrong is said at once; nothing has been touched then.
    """
    tune(host)
    try:
        return _check(host, data, asked, installers)
    except Refused as refused:
        leave(refused.faults)
        return None


def _check(host: Host, data: Mapping[str, Any], asked: Mapping[str, Any], installers: Installers) -> Target:
    safe, ignored = without_danger(data, asked)
    for warning in ignored:
        host.log(warning, logger.warning)
    settings, wrong = Settings.parse(safe)
    faults = [str(fault) for fault in wrong]
    faults += installers.faults
    faults += containers.choice_faults(settings.only, settings.reinstall, installers)
    # What is previewed may be no more than a dry run; the guard asks again when it comes to it.
    if not is_read():
        faults += reset.faults(settings, hosts_of_run(), has_terminal=terminal.is_there())
    who = settings.homebrew_user
    # What needs no root is asked without sudo, so that one of them alone can ask for its password.
    mac, user = (
        together((Mac, {}), (User, {"user": who}), _sudo=False) if who else (ask(Mac, _sudo=False), None)
    )
    if mac is None:
        raise Refused([*faults, "what this Mac is cannot be read"])
    faults += mac_faults(settings, mac)
    if mac.kernel != "Darwin":
        raise Refused(faults)
    if not who:
        if mac.homebrew.owner and any(fault.value is None for fault in wrong):
            faults.append(
                f"{mac.homebrew.brew} belongs to {mac.homebrew.owner}: HOMEBREW_USER={mac.homebrew.owner}"
            )
        raise Refused(faults)
    faults += user_faults(settings, mac, user)
    if not isinstance(user, UserState):
        raise Refused(faults)
    profile, log = together(
        (ColimaProfile, {"user": who, "profile": settings.colima_profile}), place_of_log(settings)
    )
    faults += log_faults(settings, log)
    faults += profile_faults(settings, profile, mac.homebrew.prefix)
    faults += state_faults(settings, profile) if profile is not None else []
    if settings.restore:
        backups = ask(Backups, user=who, backup=settings.backup_dir(user.home))
        faults += backup_faults(settings, backups)
    faults += prune_faults(settings, profile)
    if faults or profile is None:
        raise Refused(faults)
    return Target(settings, mac, user, profile)


def look_ahead(target: Target) -> None:
    """Ask what the operations will ask first, where nothing comes between: with `-y`."""
    settings = target.settings
    user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
    ahead.look(
        (Toolkit, {"label": label}),
        (Homebrew, {}),
        (LaunchdJob, {"label": label}),
        (LaunchdJob, {"label": pulse_label(label)}),
        (Milestones, {"label": label}),
        (ColimaProfile, {"user": user, "profile": profile}),
        (DockerEngine, {"user": user, "profile": profile}),
        (Definitions, {"user": user}),
        (Strays, {"user": user, "profile": profile, "label": label}),
    )


def start_faults(settings: Settings) -> list[str]:
    """Why Colima cannot be started as it was deployed."""
    label, profile = settings.label, settings.colima_profile
    job, found, log = ahead.together(
        (LaunchdJob, {"label": label}),
        (ColimaProfile, {"user": settings.homebrew_user, "profile": profile}),
        place_of_log(settings),
    )
    if job is None:
        return [unreadable(label)]
    if found is None:
        return [f"Lima's answer about profile {profile} cannot be read"]
    if why := unstartable(job):
        return [f"{label} cannot be started: {why}. Run deploy.py"]
    if found.unfinished is not None:
        return [f"a reset of profile {profile} was interrupted. Run deploy.py, which ends it"]
    if not found.provisioned:
        return [f"profile {profile} has never come up. Run deploy.py, which makes it"]
    return log_faults(settings, log)
