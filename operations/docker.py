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


def is_good(engine: EngineState | None) -> bool:
    """Whether the engine answered, told its version and listed its containers: it was used."""
    return (
        engine is not None and engine.answers and engine.version is not None and engine.containers is not None
    )


def why_not(engine: EngineState | None) -> str:
    """Why an engine is not good, in words."""
    if engine is None:
        return "the answer cannot be read"
    if engine.silence is not None:
        return engine.silence
    return "it answers a ping, and cannot list its containers"


@operation()
def ready(user: str, profile: str, label: str, required: int = 5) -> Commands:
    """
    Keep a profile's Docker Engine answering: socket, API, then good answers in a row, one a second.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon, under which it is noted that Docker was ready
    + required: how many good answers in a row

    Changes nothing: where Docker does not become ready, it fails.

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
    if engine is not None and is_good(engine) and VERIFIED in (notes or {}):
        host.noop(f"Docker {engine.version} answers on {engine.socket}")
        return
    if is_good(engine):
        explain(f"Wait until Docker is ready: {required} good answers in a row")
    else:
        explain(f"Wait until Docker is ready: {why_not(engine)}")
    yield live("gate", label)
