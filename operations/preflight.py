"""
Check a host before anything on it is touched: the settings, and the Mac and the profile they meet.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pyinfra.api import DeployError, FactBase, Host

from facts.colima import ColimaProfile, ProfileState
from facts.mac import Mac, MacState, NoUser, User, UserState
from operations.util.remote import together
from settings import Fault, Settings

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

    @property
    def backup_dir(self) -> str:
        """Where what is removed goes, as an absolute path."""
        return str(PurePosixPath(self.user.home) / self.settings.backup_dir_base)

    @property
    def homebrew_env(self) -> dict[str, str]:
        """The environment for brew, which is not on the PATH of an SSH session."""
        prefix = self.mac.homebrew.prefix
        return {
            "PATH": f"{prefix}/bin:{prefix}/sbin:/usr/bin:/bin:/usr/sbin:/sbin",
            "NONINTERACTIVE": "1",
        }


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
    instance = "colima" if settings.colima_profile == "default" else f"colima-{settings.colima_profile}"
    if len(f"{user.home}/.colima/_lima/{instance}/ssh.sock.{'x' * 16}".encode()) >= SOCKET_PATH:
        faults.append(
            str(Fault("COLIMA_PROFILE", settings.colima_profile, "too long: Lima's sockets would not fit"))
        )
    return faults


def profile_faults(settings: Settings, profile: ProfileState | None, prefix: str) -> list[str]:
    """What of an existing profile is in the way: it cannot be converted, and its disk only grows."""
    if profile is None:
        return [
            f"Lima's answer about profile {settings.colima_profile} cannot be read. Look, as "
            f"{settings.homebrew_user}: LIMA_HOME=~/.colima/_lima {prefix}/bin/limactl list"
        ]
    name, faults = settings.colima_profile, []
    colima = f"sudo -H -u {settings.homebrew_user} {prefix}/bin/colima"
    if profile.vm_type not in (None, settings.colima_vm_type):
        keeps = (
            "Its data disk, and so images, containers and volumes, stays"
            if profile.data_disk
            else "It has no data disk, so ALL its images, containers and volumes would go: save them first"
        )
        faults.append(
            f"profile {name} runs on {profile.vm_type}, and a VM cannot be converted to "
            f"{settings.colima_vm_type}. To have it made anew: {colima} stop --profile {name}; "
            f"{colima} delete --force --profile {name}. {keeps}."
        )
    if profile.runtime not in (None, settings.colima_runtime):
        faults.append(
            f"profile {name} was made for the runtime {profile.runtime}, and its disk cannot be "
            f"converted to {settings.colima_runtime}: choose another COLIMA_PROFILE"
        )
    if profile.disk is not None and settings.colima_disk < profile.disk:
        faults.append(
            str(
                Fault(
                    "COLIMA_DISK",
                    settings.colima_disk,
                    f"the disk of profile {name} has {profile.disk} GiB and can only grow: "
                    f"set COLIMA_DISK={profile.disk}",
                )
            )
        )
    return faults


def warnings(settings: Settings, mac: MacState) -> list[str]:
    """What does not stop a deploy, and will be noticed on the day the power fails."""
    found = []
    if mac.filevault:
        found.append(
            "FileVault is on: after a boot nothing starts until someone unlocks the disk once "
            "(or restarts with `sudo fdesetup authrestart`)"
        )
    if mac.sleep_minutes:
        found.append(f"this Mac sleeps after {mac.sleep_minutes} min: sudo pmset -a sleep 0 disksleep 0")
    if mac.auto_restart is False:
        found.append("it stays off after a power failure: sudo pmset -a autorestart 1")
    if settings.colima_memory < 2:
        found.append(f"COLIMA_MEMORY is {settings.colima_memory:g} GiB: below 2, pulls are flaky")
    if mac.rosetta:
        found.append("this session runs under Rosetta; the Mac is Apple Silicon")
    return found


def _refuse(host: Host, faults: list[str]) -> DeployError:
    lines = "".join(f"\n  - {fault}" for fault in faults)
    return DeployError(f"{host.name}: nothing was touched.{lines}")


def without_nagle(host: Host) -> None:
    """Send each command to an SSH host at once; paramiko leaves Nagle's algorithm on, 40 ms a command."""
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client is not None else None
    if transport is not None and isinstance(transport.sock, socket.socket):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def check(host: Host, data: Mapping[str, Any]) -> Target:
    """Check one host, and return what it is to become and what it is.

    Raises DeployError with everything that is wrong, at once; nothing has been touched then.
    """
    without_nagle(host)
    settings, wrong = Settings.parse(data)
    faults = [str(fault) for fault in wrong]
    who, profile_name = settings.homebrew_user, settings.colima_profile
    # What needs no root is asked without sudo, so that one of them alone can ask for its password.
    asked: list[tuple[type[FactBase[Any]], dict[str, Any]]] = [(Mac, {"_sudo": False})]
    if who:
        asked.append((User, {"user": who, "_sudo": False}))
        asked.append((ColimaProfile, {"user": who, "profile": profile_name}))
    try:
        answers: list[Any] = [*together(*asked), None, None]
    except EOFError:
        raise DeployError(
            f"{host.name}: sudo wants a password, and there is no terminal to ask for it. Run this on "
            "a terminal, or allow the SSH user sudo without one (NOPASSWD in sudoers)."
        ) from None
    mac: MacState | None = answers[0]
    user: UserState | NoUser | None = answers[1]
    profile: ProfileState | None = answers[2]
    if mac is None:
        raise _refuse(host, [*faults, "what this Mac is cannot be read"])
    faults += mac_faults(settings, mac)
    if mac.kernel != "Darwin":
        raise _refuse(host, faults)
    if not who:
        if mac.homebrew.owner and any(fault.value is None for fault in wrong):
            faults.append(
                f"{mac.homebrew.brew} belongs to {mac.homebrew.owner}: HOMEBREW_USER={mac.homebrew.owner}"
            )
        raise _refuse(host, faults)
    faults += user_faults(settings, mac, user)
    if not isinstance(user, UserState):
        raise _refuse(host, faults)
    faults += profile_faults(settings, profile, mac.homebrew.prefix)
    if faults or profile is None:
        raise _refuse(host, faults)
    return Target(settings, mac, user, profile)
