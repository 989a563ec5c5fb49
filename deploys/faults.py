"""What is wrong with settings on a Mac and a profile, in words: each with what to do."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from facts.backup import Unit
from facts.colima import LogState, ProfileState
from facts.mac import MacState, NoUser, UserState
from facts.util import plain
from operations import containers, prune
from operations.util.installer import Installers
from operations.util.words import GIB
from settings import Fault, Settings

# colima start has no --vm-type before macOS 13 (colima cmd/start.go).
OLDEST_MACOS = 13

# A socket's path on macOS holds 104 bytes; Lima makes LIMA_HOME/INSTANCE/ssh.sock.<16 characters>
# (lima pkg/instance).
SOCKET_PATH = 104

INSTALL_HOMEBREW = (
    '/bin/bash -c "$(curl -fsSL https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh)"'
)


def _fault(key: str, value: object, allowed: str) -> str:
    return str(Fault(key, value, allowed))


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
    return faults + [
        _fault(key, wanted, f"this Mac has {has:g} {unit}")
        for key, wanted, has, unit in above
        if has and wanted > has
    ]


def user_faults(settings: Settings, mac: MacState, user: UserState | NoUser | None) -> list[str]:
    """What of the Homebrew user is in the way."""
    name = settings.homebrew_user
    brew, owner = mac.homebrew.brew, mac.homebrew.owner
    if isinstance(user, NoUser):
        hint = f"; {brew} belongs to {owner}" if owner else ""
        return [_fault("HOMEBREW_USER", name, f"this Mac has no such user{hint}")]
    if user is None:
        return [f"HOMEBREW_USER: what this Mac knows of {name!r} cannot be read"]
    faults = []
    if plain(user.home) != user.home:
        faults.append(f"HOMEBREW_USER: the home {user.home!r} of {name} has control characters in its path")
    if user.uid == 0:
        faults.append(_fault("HOMEBREW_USER", name, "a user other than root"))
    if not user.home_present:
        faults.append(
            f"HOMEBREW_USER: the home {user.home} of {name} is not there now (a volume that is not mounted?)"
        )
    if owner not in (None, name):
        faults.append(_fault("HOMEBREW_USER", name, f"{brew} belongs to {owner}: use that"))
    if settings.launch_via == "su" and PurePosixPath(user.shell).name in ("false", "nologin", "true"):
        allowed = f"the login shell of {name} is {user.shell}, which runs nothing: LAUNCH_VIA=user, or "
        faults.append(_fault("LAUNCH_VIA", "su", f"{allowed}sudo chsh -s /bin/zsh {name}"))
    room = SOCKET_PATH - 1 - len(f"{user.home}/.colima/_lima/colima-/ssh.sock.{'x' * 16}".encode())
    profile = settings.colima_profile
    if room < (-1 if profile == "default" else len(profile)):
        longest = f"at most {room} characters" if room > 0 else "none fits"
        allowed = f"Lima's sockets would have too long a path: {longest} with the home {user.home}"
        faults.append(_fault("COLIMA_PROFILE", profile, allowed))
    return faults


def unknown_user(name: str) -> str:
    """Why nothing is known of a user's home."""
    return f"HOMEBREW_USER: this Mac has no user {name}, or who that is cannot be read"


def log_faults(settings: Settings, log: LogState | None) -> list[str]:
    """What of the log's place is in the way: root makes the log, keeps it small and removes it."""
    if log is None or log.exposed is None:
        return []
    elsewhere = "" if "sudo mkdir" in log.exposed else ": choose a file in /var/log"
    return [_fault("LOG_PATH", settings.log_path, f"{log.exposed}{elsewhere}")]


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
        return [_fault("RESTORE", settings.restore, "the backups on this Mac cannot be read")]
    found = next((each for each in backups if each.name == settings.restore), None)
    if found is None:
        names = ", ".join(each.name for each in backups if each.complete)
        return [_fault("RESTORE", settings.restore, f"there is {names or 'no backup'}")]
    wrong = []
    if not found.complete:
        wrong.append("it is not complete")
    if found.profile != settings.colima_profile:
        wrong.append(f"it is one of profile {found.profile}: set COLIMA_PROFILE={found.profile}")
    if found.vm_type not in (None, settings.colima_vm_type):
        wrong.append(f"its VM is one of {found.vm_type}")
    if found.disk is not None and found.disk > settings.colima_disk:
        wrong.append(f"its disk has {found.disk} GiB and can only grow: set COLIMA_DISK={found.disk} or more")
    return [_fault("RESTORE", settings.restore, why) for why in wrong]


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
            return [_fault("COLIMA_PROFILE", name, allowed)]
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
        allowed = f"the disk of profile {name} has {profile.disk} GiB and can only grow: "
        allowed += f"set COLIMA_DISK={profile.disk}. {anew}"
        faults.append(_fault("COLIMA_DISK", settings.colima_disk, allowed))
    return faults


def confirmation_faults(settings: Settings, hosts: int, *, has_terminal: bool) -> list[str]:
    """Why what takes a profile away cannot be confirmed: no terminal, and nothing that stands in for it."""
    if not (settings.full_reset or settings.delete_vm) or has_terminal:
        return []
    if hosts > 1:
        why = (
            f"{hosts} hosts at once are confirmed by typing, host by host: run this on a terminal, or for "
            "one of them (--limit HOST)"
        )
    elif not settings.force_yes:
        why = "there is no terminal to confirm it on; to do it nevertheless, add --data force_yes=true"
    else:
        return []
    key = "FULL_RESET" if settings.full_reset else "DELETE_VM"
    return [_fault(key, True, why)]


def choice_faults(settings: Settings, installers: Installers) -> list[str]:
    """What of ONLY and REINSTALL names no installer, or one that this run does not look at."""
    found = []
    only, reinstall = settings.only, settings.reinstall
    looked_at = containers.chosen(installers, only)
    for key, names in (("ONLY", only), ("REINSTALL", reinstall if isinstance(reinstall, tuple) else ())):
        for name in names:
            each = installers.named(name)
            if each is None:
                found.append(_fault(key, name, f"no installer's name; there is {installers.names}"))
            elif each not in looked_at:
                found.append(_fault(key, name, f"not among only={','.join(only)}"))
    return found


def prune_faults(settings: Settings, profile: ProfileState | None) -> list[str]:
    """Why nobody could be asked about the prune that follows a start that this run is sure to make."""
    anew = settings.full_reset or bool(settings.restore) or (profile is not None and not profile.provisioned)
    why = prune.fault(prune.mode_in_force(settings), settings.force_yes)
    return [why] if why and (settings.restart or anew) else []
