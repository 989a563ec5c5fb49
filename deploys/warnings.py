"""What does not stop a deploy and is to be minded, in words: each with what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from facts.docker import DockerConfigState
from facts.homebrew import FormulaeState
from facts.mac import MacState
from settings import Settings, each_of

# Credential helpers that need somebody logged in; of the others some do not.
OF_A_SESSION = ("osxkeychain", "desktop")

# Lima refuses an older one on Apple silicon (lima minimumQemuVersion).
OLDEST_QEMU = (8, 2, 1)
# An older one aborts where the chip has SME (colima#1211).
OLDEST_QEMU_ON_M4 = (9, 2)


def warnings(
    settings: Settings,
    mac: MacState,
    home: str | None,
    docker_config: DockerConfigState | None,
    formulae: FormulaeState | None = None,
) -> list[str]:
    """What does not stop a deploy, and will be noticed on the day the power fails.

    `home` is the Homebrew user's, None where it is not known; `docker_config` counts where it is known, and
    `formulae`, those of Homebrew, where they are.
    """
    return [
        *_of_mac(settings, mac),
        *_of_settings(settings, home),
        *(_of_registries(docker_config, settings.homebrew_user, home) if home is not None else ()),
        *(_of_formulae(mac, formulae) if formulae is not None else ()),
    ]


def older(formulae: FormulaeState) -> str | None:
    """That Colima runs on older programs than those that are installed, if it does."""
    if not formulae.newer:
        return None
    were = "were" if len(formulae.newer) > 1 else "was"
    return f"Colima was started before {', '.join(formulae.newer)} {were} installed"


def _of_mac(settings: Settings, mac: MacState) -> Iterator[str]:
    if mac.filevault:
        unlocks = mac.arch == "arm64" and mac.macos_version >= (26,)
        how = ", at the Mac or with a password over `ssh NAME@HOST`" if unlocks else " once"
        yield (
            f"FileVault is on: after a boot nothing starts until someone unlocks the disk{how} "
            "(or restarts with `sudo fdesetup authrestart`)"
        )
    if settings.power != "server":
        yield from _of_power(mac)
    if mac.rosetta:
        yield "this session runs under Rosetta; the Mac is Apple Silicon"


def _of_power(mac: MacState) -> Iterator[str]:
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
    if words:
        yield f"{', '.join(words)}: sudo pmset -a {' '.join(settings)}, or POWER=server"


def _of_settings(settings: Settings, home: str | None) -> Iterator[str]:
    if settings.colima_memory < 2:
        yield f"COLIMA_MEMORY is {settings.colima_memory:g} GiB: below 2, pulls are flaky"
    if names := _variables(settings):
        yield (
            f"COLIMA_EXTRA_ARGS sets {', '.join(names)} with --env: every user of this Mac can read the "
            "value in `ps` and in the plist; secrets belong in containers/.env"
        )
    if paths := _kept_from_daemons(settings, home):
        yield (
            f"COLIMA_EXTRA_ARGS mounts {', '.join(paths)}: macOS keeps daemons, and so containers, "
            "out of there without Full Disk Access. Mount a directory in /Users/Shared, or see "
            "docs/troubleshooting.md, Mounts and disks"
        )
    if settings.flag_values("--network-address")[-1:] not in ([], ["false"]):
        yield "COLIMA_EXTRA_ARGS has --network-address, which needs steps by hand: docs/networking.md"
    if settings.maintain_every_days and not settings.pulse:
        yield "MAINTAIN_EVERY_DAYS has no effect with PULSE=false: set PULSE=true"
    # As the shell script's backups were, beside the deploy.
    if (base := settings.backup_dir_base).startswith("./") and home is not None:
        where = f"{settings.backup_dir(home)} on this Mac, whoever deploys and from where"
        yield f"BACKUP_DIR_BASE={base} is {where}: a relative path begins at the home"


def _variables(settings: Settings) -> list[str]:
    """The names of the variables that COLIMA_EXTRA_ARGS sets in the VM."""
    pairs = (each.partition("=") for each in each_of(settings.flag_values("--env")))
    return [name for name, equals, _ in pairs if equals and re.fullmatch(r"\w+", name)]


def _kept_from_daemons(settings: Settings, home: str | None) -> list[str]:
    """The directories that are mounted into the VM, of those that macOS keeps daemons out of."""
    homes = "|".join(("~", "/Users/[^/]+", *([re.escape(home)] if home else [])))
    private = "Desktop|Documents|Downloads|Library/Mobile Documents"
    kept = re.compile(rf"(?:/Volumes|(?:{homes})/(?:{private}))(?:/.*)?", re.IGNORECASE)
    paths = (each.partition(":")[0] for each in each_of(settings.flag_values("--mount")))
    return [path for path in paths if kept.fullmatch(path)]


def _of_registries(config: DockerConfigState | None, user: str, home: str) -> Iterator[str]:
    """What keeps the user's own docker from registries."""
    path = f"{home}/.docker/config.json"
    if config is None:
        yield f"{path} cannot be read: it is no JSON, or no file"
        return
    every = config.creds_store in OF_A_SESSION
    asked = [f"{config.creds_store} for all registries"] if every else []
    asked += [
        f"{helper} for {registry}"
        for registry, helper in sorted(config.cred_helpers.items())
        if helper in OF_A_SESSION
    ]
    if asked:
        pulls = "pull, public images too" if every else "pull from there"
        yield (
            f"{user}'s docker asks {', '.join(asked)}, which fails while nobody is logged in (-25308), and "
            f"with it each `docker run` that has to {pulls}; a deploy asks nobody. See "
            "docs/troubleshooting.md, Registries"
        )


def _of_formulae(mac: MacState, formulae: FormulaeState) -> Iterator[str]:
    """Why QEMU does not start a VM on this Mac."""
    version = formulae.version("qemu") or ""
    numbers = tuple(map(int, re.findall(r"\d+", version)))
    chip = re.match(r"Apple M(\d+)", mac.chip or "")
    how = "deploys/upgrade.py brings a newer one"
    if numbers and not version.startswith("HEAD"):
        if numbers < OLDEST_QEMU:
            yield f"QEMU {version} is older than 8.2.1, which Lima wants: {how}"
        elif numbers < OLDEST_QEMU_ON_M4 and chip and int(chip[1]) >= 4:
            yield f"QEMU {version} aborts on an {mac.chip}, below 9.2: {how}"
    if formulae.entitled is False and mac.hypervisor:
        yield "QEMU is not signed for the hypervisor, so the VM will not start again: docs/upgrades.md, QEMU"


def upgrade_warnings(mac: MacState, formulae: FormulaeState | None, user: str) -> list[tuple[str, str]]:
    """What may replace the programs of the VM, or restart the Mac, at a moment nobody chooses: each with what
    to do. `user` is who owns Homebrew."""
    found = []
    if loose := [name for name, each in (formulae.installed if formulae else {}).items() if not each.pinned]:
        what = f"brew upgrade would replace {', '.join(loose)} under the running VM"
        found.append((what, f"to prevent that, as {user}: brew pin {' '.join(loose)}"))
    if mac.installs_updates:
        setting = "/Library/Preferences/com.apple.SoftwareUpdate AutomaticallyInstallMacOSUpdates"
        what = "macOS installs its updates and restarts by itself"
        found.append((what, f"to prevent that: sudo defaults write {setting} -bool false"))
    if mac.arch == "x86_64":
        found.append(("Homebrew builds nothing new for Intel", "docs/upgrades.md"))
    return found
