"""
Manage the Docker Engine behind a profile's socket: used before it is called ready.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import operation

from facts.docker import DockerEngine, EngineState
from facts.launchd import VERIFIED, Milestones
from operations.util import ahead
from operations.util.commands import Commands, explain, live


def why_not(engine: EngineState | None) -> str | None:
    """Why an engine cannot be used, in words; None: it can."""
    if engine is None:
        return "the answer cannot be read"
    if engine.silence is not None:
        return engine.silence
    if engine.version is None or engine.containers is None:
        return "it answers a ping, and cannot list its containers"
    return None


@operation()
def ready(user: str, profile: str, label: str, required: int = 5) -> Commands:
    """
    Keep a profile's Docker Engine answering: socket, API, then good answers in a row, one a second.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon, under which it is noted that Docker was ready
    + required: how many good answers in a row

    Restarts nothing: where Docker does not become ready, it fails.

    **Example:**

    .. code:: python

        docker.ready(
            name="Wait until Docker is ready", user="alice", profile="default",
            label="homebrew.mrcee.colima-pulse",
        )
    """
    engine, notes = ahead.get(
        (DockerEngine, {"user": user, "profile": profile}), (Milestones, {"label": label})
    )
    why = why_not(engine)
    if engine is not None and why is None and VERIFIED in (notes or {}):
        host.noop(f"Docker {engine.version} answers on {engine.socket}")
        return
    explain(f"Wait until Docker is ready: {why or f'{required} good answers in a row'}")
    yield live("gate", label)
