"""What there is of an installation on a Mac, and what an uninstall would take and leave, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploys.faults import unknown_user
from facts.backup import Contents, ProfileContents
from facts.docker import DockerEngine, EngineState
from facts.homebrew import Homebrew, HomebrewState
from facts.launchd import JobState, LaunchdJob, plist_path
from facts.mac import NoUser, User, UserState
from facts.traces import Traces, TracesState
from operations import reset
from operations.launchd import unreadable
from operations.util.ahead import together
from operations.util.commands import ask
from operations.util.plist import pulse_label
from settings import Settings


@dataclass(frozen=True)
class Installation:
    """What there is of an installation on a host."""

    settings: Settings
    home: str
    place: reset.Place
    homebrew: HomebrewState
    job: JobState
    pulse: JobState
    traces: TracesState
    contents: Contents
    engine: EngineState | None  # None: unreadable

    @property
    def deletes(self) -> bool:
        """Whether the profile goes as well, and there is something of it."""
        return self.settings.delete_vm and bool(self.contents.parts)

    def plan(self) -> list[str]:
        """What would be stopped and removed, and what stays, in words; empty where there is nothing to do."""
        label = self.settings.label
        jobs = {label: self.job, pulse_label(label): self.pulse}
        loaded = ", ".join(label for label, job in jobs.items() if job.loaded)
        removes = [plist_path(label) for label, job in jobs.items() if job.plist_file is not None]
        removes += [f"launchd's note that {label} is disabled" for label, job in jobs.items() if job.disabled]
        removes += self.traces.paths
        if not (loaded or removes or self.deletes):
            return []
        found = ["Uninstall Colima Pulse"]
        if loaded:
            found.append(reset.stops(loaded, self.engine) if self.job.loaded else f"  stops: {loaded}")
        if removes:
            found += ["  removes:", *(f"    {each}" for each in removes)]
        if self.deletes:
            found += reset.takes(self.place, self.contents, self.settings.backup)
        return [*found, "  leaves:", *(f"    {each}" for each in self._stays())]

    def _stays(self) -> Iterator[str]:
        """What is not touched, and how to go on with it, or be rid of it."""
        profile = self.settings.colima_profile
        if self.contents.parts and not self.settings.delete_vm:
            command = "colima start" + ("" if profile == "default" else f" --profile {profile}")
            yield f"{self.place.name}: its VM and containers; to start it by hand: {command}"
        if self.contents.others:
            yield f"the other profiles: {', '.join(self.contents.others)}"
        if self.traces.others:
            yield f"/Library/ColimaPulse, for {', '.join(self.traces.others)}"
        yield f"backups in {self.place.backup_dir}"
        yield "Homebrew's formulae: brew uninstall colima docker qemu"


def observe(settings: Settings) -> Installation | str:
    """Ask what there is on a host. Returns why nothing may be touched where that is so."""
    user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
    found: UserState | NoUser | None = ask(User, user=user)
    if not isinstance(found, UserState):
        return unknown_user(user)
    place = reset.Place.of(settings, found.home, reset.stamp())
    homebrew, job, pulse, traces, contents, engine = together(
        (Homebrew, {}),
        (LaunchdJob, {"label": label}),
        (LaunchdJob, {"label": pulse_label(label)}),
        (Traces, {"user": user, "label": label, "log_path": settings.log_path}),
        (ProfileContents, {"user": user, "profile": profile, "backup": place.backup_dir}),
        (DockerEngine, {"user": user, "profile": profile}),
    )
    if job is None or pulse is None:
        return unreadable(label)
    if homebrew is None or traces is None or contents is None:
        return f"what there is of {label} and of {place.name} cannot be read"
    if traces.unfinished:
        named = ", ".join(f"profile {profile} of {user}" for user, profile in traces.unfinished)
        return f"a reset was interrupted ({named}). Run deploy.py for it first: that ends it"
    contents = reset.of_place(place, contents)
    return Installation(settings, found.home, place, homebrew, job, pulse, traces, contents, engine)
