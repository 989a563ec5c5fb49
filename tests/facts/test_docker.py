"""What Docker answers behind a socket, and what the fact makes of silence."""

from __future__ import annotations

import json

import pytest
from pyinfra.api import FactProcessError

from facts.docker import Container, DockerEngine, EngineState

SOCKET = "/Users/pulse/.colima/default/docker.sock"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
STARTED = "2026-11-21T23:45:45.677044599Z"
WEB = {
    "name": "web",
    "state": "running",
    "exit_code": 0,
    "started_at": STARTED,
    "restart": "unless-stopped",
    "spec": DIGEST,
    "image": "nginx:1.29",
    "image_id": f"sha256:{DIGEST}",
}
OTHER = WEB | {"name": "other", "state": "exited", "exit_code": 137, "restart": "", "spec": "", "image": ""}


def answer(ping: str, *rest: str, exists: str = "yes") -> list[str]:
    """What files/observe-docker prints."""
    return [f"socket={SOCKET}", f"exists={exists}", f"ping={ping}", *rest, "end"]


def good(*containers: dict[str, object]) -> list[str]:
    lines = [f"|{json.dumps(each)}" for each in containers]
    return answer("200", "version=28.4.0", "listed=yes", f"containers={len(lines)}", *lines)


def test_good() -> None:
    assert DockerEngine().process(good(WEB, OTHER)) == EngineState(
        socket=SOCKET,
        socket_exists=True,
        silence=None,
        version="28.4.0",
        containers={
            "web": Container(
                "running", 0, STARTED, "unless-stopped", DIGEST, "nginx:1.29", f"sha256:{DIGEST}"
            ),
            "other": Container("exited", 137, STARTED, "no", None, None, f"sha256:{DIGEST}"),
        },
    )


def test_no_containers() -> None:
    found = DockerEngine().process(good())
    assert found is not None
    assert found.answers
    assert found.containers == {}


def test_one_container_that_does_not_answer_leaves_all_unknown() -> None:
    """It is not absent: what is absent is made anew."""
    lost = [line for line in good(WEB, OTHER) if '"other"' not in line]
    found = DockerEngine().process(lost)
    assert found is not None
    assert found.containers is None


@pytest.mark.parametrize(
    ("ping", "exists", "says"),
    [
        ("000 curl: (7) Failed to connect to localhost port 80 after 0 ms:", "yes", "Failed to connect"),
        (
            "000 curl: (52) Empty reply from server",
            "yes",
            "Empty reply",
        ),  # EOF: the forward is up, docker not
        (
            "000 curl: (28) Operation timed out after 5002 milliseconds with 0 bytes received",
            "yes",
            "timed out",
        ),
        ("503", "yes", "503"),
        ("500", "yes", "500"),
        ("", "yes", "no answer"),
        ("000", "yes", "no answer"),
        ("000 curl: (7) Couldn't connect to server", "no", "no socket"),
    ],
)
def test_silence(ping: str, exists: str, says: str) -> None:
    found = DockerEngine().process(answer(ping, exists=exists))
    assert found is not None
    assert not found.answers
    assert says in str(found.silence)
    assert not str(found.silence).endswith("000")
    assert found.socket_exists is (exists == "yes")
    assert found.containers is None


@pytest.mark.parametrize(
    "rest",
    [
        ["version=", "listed=no"],
        ["version=28.4.0", "listed=no"],
        ["version=28.4.0"],
    ],
)
def test_unlisted(rest: list[str]) -> None:
    found = DockerEngine().process(answer("200", *rest))
    assert found is not None
    assert found.answers
    assert found.containers is None


def test_garbage() -> None:
    with pytest.raises(FactProcessError):
        DockerEngine().process(answer("200", "version=28", "listed=yes", "|Error: no such object"))
