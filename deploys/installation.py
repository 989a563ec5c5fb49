"""What there is of an installation on a Mac, and what an uninstall would take and leave, in words."""

from __future__ import annotations

from dataclasses import dataclass

from facts.backup import Contents, ProfileContents
from facts.docker import DockerEngine, EngineState
from facts.launchd import JobState, LaunchdJob, plist_path
from facts.mac import Homebrew, HomebrewState, NoUser, User, UserState
from facts.traces import Traces, TracesState
from operations import reset
from operations.util.ahead import together
from operations.util.commands import ask
from operations.util.plist import pulse_label
from settings import Settings

FORMULAE = "brew uninstall colima docker qemu"


@dataclass(frozen=True)
class Installation:
    """What there is of an installation on a host; None is unreadable."""

    settings: Settings
    home: str
    place: reset.Place
    homebrew: HomebrewState | None
    job: JobState | None
    pulse: JobState | None
    traces: TracesState | None
    contents: Contents | None
    engine: EngineState | None

    @property
    def refusal(self) -> str | None:
        """Why nothing may be touched; None: it may."""
        label = self.settings.label
        if self.job is None or self.pulse is None:
            return f"launchd's answer about {label} cannot be read. Look: sudo launchctl print system/{label}"
        if self.homebrew is None or self.traces is None or self.contents is None:
            return f"what there is of {label} and of {self.place.name} cannot be read"
        if self.traces.unfinished:
            named = ", ".join(f"profile {profile} of {user}" for user, profile in self.traces.unfinished)
            return f"a reset was interrupted ({named}). Run deploy.py for it first: that ends it"
        return None

    @property
    def deletes(self) -> bool:
        """Whether the profile goes as well, and there is something of it."""
        return self.settings.delete_vm and self.contents is not None and bool(self.contents.parts)

    @property
    def jobs(self) -> dict[str, JobState]:
        """What launchd says of each label of it."""
        found = {self.settings.label: self.job, pulse_label(self.settings.label): self.pulse}
        return {label: job for label, job in found.items() if job is not None}

    @property
    def loaded(self) -> list[str]:
        """The labels that launchd has loaded."""
        return [label for label, job in self.jobs.items() if job.loaded]

    @property
    def removes(self) -> list[str]:
        """The files and directories that there are, and what launchd remembers."""
        plists = [plist_path(label) for label, job in self.jobs.items() if job.plist_file is not None]
        notes = [
            f"launchd's note that {label} is disabled" for label, job in self.jobs.items() if job.disabled
        ]
        return [*plists, *notes, *(self.traces.paths if self.traces is not None else ())]

    def plan(self) -> list[str]:
        """What would be stopped and removed, and what stays, in words; empty where there is nothing to do."""
        if not (self.loaded or self.removes or self.deletes):
            return []
        found = ["Uninstall Colima Pulse"]
        if self.job is not None and self.job.loaded:
            found.append(reset.stops(", ".join(self.loaded), self.engine))
        elif self.loaded:
            found.append(f"  stops: {', '.join(self.loaded)}")
        if self.removes:
            found += ["  removes:", *(f"    {each}" for each in self.removes)]
        if self.deletes and self.contents is not None:
            found += reset.takes(self.place, self.contents, self.settings.backup)
        return [*found, "  leaves:", *(f"    {each}" for each in self.stays())]

    def stays(self) -> list[str]:
        """What is not touched, and how to go on with it, or be rid of it."""
        profile, kept = self.settings.colima_profile, []
        if self.contents is not None and self.contents.parts and not self.settings.delete_vm:
            command = "colima start" + ("" if profile == "default" else f" --profile {profile}")
            kept.append(f"{self.place.name}: its VM and containers; to start it by hand: {command}")
        if self.contents is not None and self.contents.others:
            kept.append(f"the other profiles: {', '.join(self.contents.others)}")
        if self.traces is not None and self.traces.others:
            kept.append(f"/Library/ColimaPulse, for {', '.join(self.traces.others)}")
        return [*kept, f"backups in {self.place.backup_dir}", f"Homebrew's formulae: {FORMULAE}"]


def observe(settings: Settings) -> Installation | None:
    """Ask what there is on a host; None where the user has no home there."""
    user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
    found: UserState | NoUser | None = ask(User, user=user)
    if not isinstance(found, UserState):
        return None
    place = reset.Place.of(settings, found.home, reset.stamp())
    homebrew, job, pulse, traces, contents, engine = together(
        (Homebrew, {}),
        (LaunchdJob, {"label": label}),
        (LaunchdJob, {"label": pulse_label(label)}),
        (Traces, {"user": user, "label": label, "log_path": settings.log_path}),
        (ProfileContents, {"user": user, "profile": profile, "backup": place.backup_dir}),
        (DockerEngine, {"user": user, "profile": profile}),
    )
    if contents is not None:
        contents = reset.of_place(place, contents)
    return Installation(settings, found.home, place, homebrew, job, pulse, traces, contents, engine)
