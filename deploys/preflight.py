"""
Check a host before anything on it is touched: the settings, and the Mac and the profile they meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pyinfra import inventory, logger
from pyinfra.api import DeployError, operation
from pyinfra.context import ctx_host

from deploys.faults import (
    backup_faults,
    choice_faults,
    confirmation_faults,
    log_faults,
    mac_faults,
    profile_faults,
    prune_faults,
    state_faults,
    user_faults,
)
from deploys.warnings import older, upgrade_warnings, warnings
from facts.backup import Backups
from facts.colima import ColimaProfile, Log, ProfileState, Strays
from facts.docker import DockerConfig, DockerConfigState, DockerEngine
from facts.homebrew import Formulae, FormulaeState, Homebrew
from facts.launchd import FIRST_START, PRUNE_DUE, LaunchdJob, Milestones
from facts.mac import Mac, MacState, User, UserState
from facts.rivals import Definitions
from facts.toolkit import Toolkit
from operations import prune, reset
from operations.launchd import unreadable, unstartable
from operations.util import ahead, terminal
from operations.util.ahead import Question, together
from operations.util.commands import Commands, ask, refuse
from operations.util.installer import Installers
from operations.util.internals import hosts_of_run, is_read, note_refusal, tune
from operations.util.plist import pulse_label
from settings import Fault, Settings, without_danger


@dataclass(frozen=True)
class Target:
    """One host, checked: what it is to become, and what it is."""

    settings: Settings
    mac: MacState
    user: UserState
    profile: ProfileState
    docker_config: DockerConfigState | None = None
    formulae: FormulaeState | None = None
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

    @property
    def warnings(self) -> list[str]:
        """What does not stop this run, and is to be minded."""
        found = warnings(self.settings, self.mac, self.user.home, self.docker_config, self.formulae)
        # One line a deploy is enough; the status has what to type.
        if later := upgrade_warnings(self.mac, self.formulae, self.settings.homebrew_user):
            found.append(f"{'; '.join(what for what, _ in later)}: docs/upgrades.md")
        if self.formulae and (why := older(self.formulae)) and not self.restart:
            found.append(f"{why}; to restart it: --data restart=true")
        return found


def _listed(faults: Sequence[str]) -> str:
    return "\n".join(["nothing was touched.", *(f"  - {each}" for each in faults)])


@operation()
def untouched(faults: Sequence[str]) -> Commands:
    """
    Leave a host as it is, and fail it.

    + faults: why

    **Example:**

    .. code:: python

        preflight.untouched(name="Preflight", faults=["COLIMA_CPUS: 64; this Mac has 8 CPUs"])
    """
    yield from refuse(_listed(faults))


def leave(faults: Sequence[str]) -> None:
    """Leave this host as it is: among several it alone fails, and the others go on.

    Raises DeployError, which ends the run, where it is the only one.
    """
    host = ctx_host.get()
    note_refusal(host, tuple(faults))
    if hosts_of_run() == 1:
        raise DeployError(f"{host.name}: {_listed(faults)}")
    untouched(name="Preflight", faults=list(faults))


def given() -> tuple[Settings, list[Fault]]:
    """This host's settings, and all that is wrong with them; what a deploy file asks first."""
    host = ctx_host.get()
    tune(host)
    data, ignored = without_danger(host.data.dict(), inventory.get_override_data())
    for warning in ignored:
        host.log(warning, logger.warning)
    if not data.get("homebrew_user") and (owner := homebrew_owner()):
        data["homebrew_user"] = owner
    return Settings.parse(data)


def homebrew_owner() -> str | None:
    """Whose this Mac's Homebrew is, and says so: who runs Colima where no setting names a user.

    None where that has no single answer: no Homebrew in the prefix of this hardware, one of root's, or an
    owner that cannot be read.
    """
    found = ask(Homebrew, _sudo=False)
    if found is None or not found.brew or found.owner in (None, "root"):
        return None
    if not found.brew.startswith(f"{found.prefix}/"):
        return None
    ctx_host.get().log(f"HOMEBREW_USER is not set: {found.owner}, who owns Homebrew")
    return found.owner


def settings_of_host() -> Settings | None:
    """This host's settings; None where something is wrong with them, and the host is left as it is."""
    settings, faults = given()
    if faults:
        leave([str(fault) for fault in faults])
        return None
    return settings


def unconfirmed(settings: Settings) -> list[str]:
    """Why this run cannot have it confirmed that a profile goes.

    Nothing where the run is previewed, which may be all: reset.confirmed() asks when its turn comes.
    """
    if is_read():
        return []
    return confirmation_faults(settings, hosts_of_run(), has_terminal=terminal.is_there())


def place_of_log(settings: Settings) -> Question:
    """Whether root may work on the log: what log_faults() judges."""
    return Log, {"path": settings.log_path}


def check(installers: Installers) -> Target | None:
    """Check this host, and return what it is to become and what it is; None where it is left as it is.

    `installers` are what containers/ holds. All that is wrong is said at once, with nothing touched.
    """
    found = _looked_at(*given(), installers)
    if isinstance(found, Target):
        return found
    leave(found)
    return None


def _looked_at(settings: Settings, wrong: list[Fault], installers: Installers) -> Target | list[str]:
    """What check() returns, or all that is wrong."""
    faults = [*map(str, wrong), *installers.faults]
    faults += choice_faults(settings, installers)
    faults += unconfirmed(settings)
    who = settings.homebrew_user
    # What needs no root is asked without sudo, so that one of them alone can ask for its password.
    if who:
        mac, user = together((Mac, {}), (User, {"user": who}), _sudo=False)
    else:
        mac, user = ask(Mac, _sudo=False), None
    if mac is None:
        return [*faults, "what this Mac is cannot be read"]
    faults += mac_faults(settings, mac)
    if mac.kernel != "Darwin" or not who:
        return faults
    faults += user_faults(settings, mac, user)
    if not isinstance(user, UserState):
        return faults
    questions = [
        (ColimaProfile, {"user": who, "profile": settings.colima_profile}),
        place_of_log(settings),
        (DockerConfig, {"user": who}),
        (Formulae, {"user": who, "label": settings.label}),
    ]
    if is_read():
        profile, log, docker_config, formulae = together(*questions)
    else:
        # Nobody is asked between this and the operations.
        profile, log, docker_config, formulae, *_ = ahead.look(*questions, *asked_first(settings))
    faults += log_faults(settings, log)
    faults += profile_faults(settings, profile, mac.homebrew.prefix)
    if profile is not None:
        faults += state_faults(settings, profile)
    if settings.restore:
        backups = ask(Backups, user=who, backup=settings.backup_dir(user.home))
        faults += backup_faults(settings, backups)
    if not is_read():
        faults += prune_faults(settings, profile)
    if faults or profile is None:
        return faults
    return Target(settings, mac, user, profile, docker_config, formulae)


def asked_first(settings: Settings) -> list[Question]:
    """What the operations ask first, besides the profile."""
    user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
    return [
        (Toolkit, {"label": label}),
        (Homebrew, {}),
        (LaunchdJob, {"label": label}),
        (LaunchdJob, {"label": pulse_label(label)}),
        (Milestones, {"label": label}),
        (DockerEngine, {"user": user, "profile": profile}),
        (Definitions, {"user": user, "label": label}),
        (Strays, {"user": user, "profile": profile, "label": label}),
    ]


def start_faults(settings: Settings) -> list[str]:
    """Why Colima cannot be started as it was deployed."""
    label, profile = settings.label, settings.colima_profile
    job, found, log = together(
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
