"""What Lima says of a Colima profile. The one module that knows Colima's and Lima's states.

Asked is `limactl list --json`, never `colima status`: that one prints a label for the VM type, calls a broken
instance "not running" and makes several SSH calls without a limit (contracts of Colima 0.6 to 0.10).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyinfra.api import FactBase, StringCommand
from typing_extensions import override

from facts.util import Record, read_lines
from files import script

RUNNING = "Running"
BROKEN = "Broken"


@dataclass(frozen=True)
class ProfileState(Record):
    """A Colima profile and Lima's instance of it. Memory in bytes, disk in GiB.

    `status` is Lima's word (Running, Stopped, Broken, ...), None when there is no instance. Running says that
    the host agent answers, not that the guest has booted. `provisioned` says that a start has succeeded once.
    `other_dir` is a state directory beside ~/.colima; `profiles` and `other_profiles` have an instance in
    the one and in the other.
    `unfinished` is the stage at which a reset or a restore was interrupted, None when none was.
    """

    home: str
    instance: str
    state_dir: bool
    other_dir: str | None
    data_disk: bool
    provisioned: bool = False
    status: str | None = None
    vm_type: str | None = None
    runtime: str | None = None
    cpus: int | None = None
    memory: int | None = None
    disk: int | None = None
    host_agent_pid: int | None = None
    driver_pid: int | None = None
    errors: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    other_profiles: tuple[str, ...] = ()
    unfinished: str | None = None

    @property
    def exists(self) -> bool:
        return self.status is not None


class ColimaProfile(FactBase["ProfileState | None"]):
    """
    Returns a profile's state as Lima has it; None when unreadable, `status=None` when it does not exist.

    + user: who runs Colima
    + profile: the profile's short name

    .. code:: python

        ProfileState(instance="colima", status="Running", vm_type="qemu", cpus=2, disk=20, ...)
    """

    @override
    def command(self, user: str, profile: str = "default") -> StringCommand:
        return script("observe-profile", user, profile)

    @override
    @staticmethod
    def default() -> ProfileState | None:
        return None

    @override
    def process(self, output: list[str]) -> ProfileState | None:
        lines = read_lines(output)
        values = lines.values
        if not values.get("home"):
            return None
        state = ProfileState(
            home=values["home"],
            instance=lines.required("instance"),
            state_dir=values.get("state_dir") == "yes",
            other_dir=values.get("other_dir") or None,
            data_disk=values.get("data_disk") == "yes",
            provisioned=values.get("provisioned") == "yes",
            profiles=tuple(value for key, value in lines.all if key == "profile"),
            other_profiles=tuple(value for key, value in lines.all if key == "other_profile"),
            unfinished=(values["unfinished"] or "unknown") if "unfinished" in values else None,
        )
        if values.get("lima") == "absent":
            return state
        if values.get("lima") != "0":
            return None
        for instance in lines.objects():
            if instance.get("name") == state.instance:
                return replace(
                    state,
                    status=str(instance.get("status") or "Unknown"),
                    vm_type=instance.get("vmType"),
                    runtime=values.get("runtime") or None,
                    cpus=instance.get("cpus"),
                    memory=instance.get("memory"),
                    disk=lines.number("disk"),
                    host_agent_pid=instance.get("hostAgentPID") or None,
                    driver_pid=instance.get("driverPID") or None,
                    errors=tuple(map(str, instance.get("errors") or ())),
                )
        return state


@dataclass(frozen=True)
class LogPart(Record):
    """The lines of a log from one place on, and its size in bytes when they were read."""

    size: int
    lines: tuple[str, ...]


class Log(FactBase["LogPart | None"]):
    """
    Returns what a log holds from one place on, the last 64 KiB of it at most; None when unreadable.

    + path: the log
    + offset: how many bytes of it to pass over

    .. code:: python

        LogPart(size=2048, lines=('time="..." level=info msg=done',))
    """

    @override
    def command(self, path: str, offset: int = 0) -> StringCommand:
        return script("observe-log", path, offset)

    @override
    @staticmethod
    def default() -> LogPart | None:
        return None

    @override
    def process(self, output: list[str]) -> LogPart:
        lines = read_lines(output)
        return LogPart(lines.number("size") or 0, tuple(lines.raw))
