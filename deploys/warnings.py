"""What does not stop a deploy and is to be minded, in words: each with what to do."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from facts.docker import DockerConfigState
from facts.mac import MacState
from settings import Settings


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


def _values(flags: Sequence[str], name: str) -> list[str]:
    """All values of a flag of `colima start`. Several in one are a line of CSV, as pflag reads it."""
    lines = csv.reader(flag.removeprefix(name) for flag in flags if flag.startswith(name))
    return [value for line in lines for value in line]


def _variables(flags: Sequence[str]) -> list[str]:
    """The names of the variables that flags of `colima start` set in the VM."""
    pairs = (value.partition("=") for value in _values(flags, "--env="))
    return [name for name, equals, _ in pairs if equals and re.fullmatch(r"\w+", name)]


def _kept_from_daemons(flags: Sequence[str], home: str | None) -> list[str]:
    """The directories that are mounted into the VM, of those that macOS keeps daemons out of."""
    homes = "|".join(("~", "/Users/[^/]+", *([re.escape(home)] if home else [])))
    private = "Desktop|Documents|Downloads|Library/Mobile Documents"
    kept = re.compile(rf"(?:/Volumes|(?:{homes})/(?:{private}))(?:/.*)?", re.IGNORECASE)
    paths = (value.partition(":")[0] for value in _values(flags, "--mount="))
    return [path for path in paths if kept.fullmatch(path)]


def filevault_warning(mac: MacState) -> str:
    """What FileVault means for a boot, and how to unlock the disk from elsewhere."""
    unlocks = mac.arch == "arm64" and mac.macos_version >= (26,)
    how = ", by `ssh NAME@HOST` with a password," if unlocks else ""
    return (
        f"FileVault is on: after a boot nothing starts until someone unlocks the disk once{how} "
        "(or restarts with `sudo fdesetup authrestart`)"
    )


def backup_warnings(settings: Settings, home: str) -> list[str]:
    """Where the backups are, if `./` looks as if they were beside the deploy, as the shell script's were."""
    base = settings.backup_dir_base
    if not base.startswith("./"):
        return []
    return [
        f"BACKUP_DIR_BASE={base} is {settings.backup_dir(home)} on this Mac, whoever deploys and from where: "
        "a relative path begins at the home"
    ]


# Credential helpers that need somebody logged in; of the others some do not.
OF_A_SESSION = ("osxkeychain", "desktop")


def registry_warnings(config: DockerConfigState | None, user: str, home: str) -> list[str]:
    """What keeps the user's own docker from registries."""
    path = f"{home}/.docker/config.json"
    if config is None:
        return [f"{path} cannot be read: it is no JSON, or no file"]
    named = [f"credsStore is {config.creds_store}"] if config.creds_store in OF_A_SESSION else []
    named += [
        f"credHelpers has {helper} for {registry}"
        for registry, helper in sorted(config.cred_helpers.items())
        if helper in OF_A_SESSION
    ]
    if not named:
        return []
    pulls = "pull, public images too" if config.creds_store in OF_A_SESSION else "pull from there"
    return [
        f"{', '.join(named)} in {path}: that fails while nobody is logged in (-25308), and with it each "
        f"`docker run` of {user}'s that has to {pulls}. Remove it; a deploy asks no helper"
    ]


def warnings(
    settings: Settings, mac: MacState, home: str | None, docker_config: DockerConfigState | None
) -> list[str]:
    """What does not stop a deploy, and will be noticed on the day the power fails.

    `home` is the Homebrew user's, None where it is not known; `docker_config` counts where it is known.
    """
    found = []
    if mac.filevault:
        found.append(filevault_warning(mac))
    if settings.power != "server":
        found += power_warnings(mac)
    if settings.colima_memory < 2:
        found.append(f"COLIMA_MEMORY is {settings.colima_memory:g} GiB: below 2, pulls are flaky")
    if names := _variables(settings.colima_extra_args):
        found.append(
            f"COLIMA_EXTRA_ARGS sets {', '.join(names)} with --env: every user of this Mac can read the "
            "value in `ps` and in the plist; secrets belong in containers/.env"
        )
    if paths := _kept_from_daemons(settings.colima_extra_args, home):
        found.append(
            f"COLIMA_EXTRA_ARGS mounts {', '.join(paths)}: macOS keeps daemons, and so containers, "
            "out of there without Full Disk Access. Mount a directory in /Users/Shared, or see "
            "docs/troubleshooting.md, Mounts and disks"
        )
    if home is not None:
        found += backup_warnings(settings, home)
        found += registry_warnings(docker_config, settings.homebrew_user, home)
    if mac.rosetta:
        found.append("this session runs under Rosetta; the Mac is Apple Silicon")
    return found
