"""What the Docker Engine behind a profile's socket says."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import FactBase, StringCommand
from typing_extensions import override

from facts.util import Record, read_lines
from files import script

# The label that names the installer text a container was made from.
SPEC_LABEL = "colima-pulse.spec"


@dataclass(frozen=True)
class Container(Record):
    """A container: `state` is Docker's word, `spec` the value of its colima-pulse.spec label."""

    state: str
    exit_code: int
    started_at: str
    restart_policy: str
    spec: str | None


@dataclass(frozen=True)
class EngineState(Record):
    """The engine behind one socket. `silence` says why it does not answer; None when it does."""

    socket: str
    socket_exists: bool
    silence: str | None
    version: str | None = None
    containers: dict[str, Container] | None = None

    @property
    def answers(self) -> bool:
        return self.silence is None


class DockerEngine(FactBase["EngineState | None"]):
    """
    Returns whether Docker answers behind the profile's socket, its version, and its containers by name
    (None: they could not be read); None when unreadable.

    + user: who runs Colima
    + profile: the profile's short name

    .. code:: python

        EngineState(socket="/Users/alice/.colima/default/docker.sock", silence=None, version="28.4.0",
                    containers={"web": Container(state="running", restart_policy="always", ...)})
    """

    @override
    def command(self, user: str, profile: str = "default") -> StringCommand:
        return script("observe-docker", user, profile)

    @override
    @staticmethod
    def default() -> EngineState | None:
        return None

    @override
    def process(self, output: list[str]) -> EngineState | None:
        lines = read_lines(output)
        values = lines.values
        ping = values.get("ping", "").strip()
        exists = values.get("exists") == "yes"
        if ping != "200":
            why = f"the API answers {ping}" if ping.isdecimal() and ping != "000" else ping
            silence = why.removesuffix(" 000").removesuffix("000") if exists else "there is no socket"
            return EngineState(values["socket"], exists, silence or "no answer")
        containers = None
        if values.get("listed") == "0":
            containers = {
                each["name"].removeprefix("/"): Container(
                    state=each["state"],
                    exit_code=each["exit_code"],
                    started_at=each["started_at"],
                    restart_policy=each["restart"] or "no",
                    spec=each["spec"] or None,
                )
                for each in lines.objects()
            }
        return EngineState(values["socket"], exists, None, values.get("version") or None, containers)
