"""What does not stop a deploy and is to be minded, in words: each with what to do."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

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


def _variables(flags: Sequence[str]) -> list[str]:
    """The names of the variables that flags of `colima start` set in the VM."""
    # Several are a line of CSV, as pflag reads them.
    lines = csv.reader(flag.removeprefix("--env=") for flag in flags if flag.startswith("--env="))
    names = [name for line in lines for name, equals, _ in (pair.partition("=") for pair in line) if equals]
    return [name for name in names if re.fullmatch(r"\w+", name)]


def backup_warnings(settings: Settings, home: str) -> list[str]:
    """Where the backups are, if `./` looks as if they were beside the deploy, as the shell script's were."""
    base = settings.backup_dir_base
    if not base.startswith("./"):
        return []
    return [
        f"BACKUP_DIR_BASE={base} is {settings.backup_dir(home)} on this Mac, whoever deploys and from where: "
        "a relative path begins at the home"
    ]


def warnings(settings: Settings, mac: MacState, home: str | None) -> list[str]:
    """What does not stop a deploy, and will be noticed on the day the power fails.

    `home` is the Homebrew user's, None where it is not known.
    """
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
    if home is not None:
        found += backup_warnings(settings, home)
    if mac.rosetta:
        found.append("this session runs under Rosetta; the Mac is Apple Silicon")
    return found
