"""What Docker answers behind a socket, and what the facts make of silence."""

from __future__ import annotations

import json

import pytest
from pyinfra.api import FactProcessError

from facts.docker import Container, DockerEngine, EngineState, Port, Pulled

SOCKET = "/Users/pulse/.colima/default/docker.sock"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
WEB = {
    "name": "web",
    "state": "running",
    "exit_code": 0,
    "restart": "unless-stopped",
    "spec": DIGEST,
    "image": "nginx:1.29",
    "image_id": f"sha256:{DIGEST}",
    "ports": {},
}
OTHER = WEB | {"name": "other", "state": "exited", "exit_code": 137, "restart": "", "spec": "", "image": ""}


def engine(ping: str, *rest: str, exists: str = "yes") -> EngineState:
    """What becomes of what files/facts/docker prints."""
    output = [f"socket={SOCKET}", f"exists={exists}", f"ping={ping}", *rest, "end"]
    found = DockerEngine().process(output)
    assert found is not None
    return found


def good(*containers: dict[str, object], count: int | None = None) -> EngineState:
    lines = [f"|{json.dumps(each)}" for each in containers]
    number = len(lines) if count is None else count
    return engine("200", "version=28.4.0", "listed=yes", f"containers={number}", *lines)


def test_good() -> None:
    web = Container("running", 0, "unless-stopped", DIGEST, "nginx:1.29", f"sha256:{DIGEST}")
    other = Container("exited", 137, "no", None, None, f"sha256:{DIGEST}")
    assert good(WEB, OTHER) == EngineState(SOCKET, None, "28.4.0", {"web": web, "other": other})
    assert good(WEB, OTHER).running == ["web"]
    assert good().containers == {}


def both(port: str) -> list[dict[str, str]]:
    """As Docker publishes a port for IPv4 and for IPv6."""
    return [{"HostIp": "0.0.0.0", "HostPort": port}, {"HostIp": "::", "HostPort": port}]


def test_ports() -> None:
    published = {
        "443/tcp": None,
        "80/tcp": [*both("8080"), {"HostIp": "127.0.0.1", "HostPort": "9"}],
        "53/udp": both("53"),
        "81/tcp": [{"HostIp": "", "HostPort": "80"}],
    }
    containers = good(WEB | {"ports": published}).containers
    assert containers is not None
    assert containers["web"].ports == (
        Port("0.0.0.0", 80, "tcp"),
        Port("0.0.0.0", 8080, "tcp"),
        Port("127.0.0.1", 9, "tcp"),
        Port("0.0.0.0", 53, "udp"),
    )


@pytest.mark.parametrize(
    "ports", [None, [], {"80": both("1")}, {"80/tcp": 1}, {"80/tcp": [{}]}, {"80/tcp": both("x")}]
)
def test_ports_that_are_none(ports: object) -> None:
    with pytest.raises(FactProcessError):
        good(WEB | {"ports": ports})


def test_one_container_that_does_not_answer_leaves_all_unknown() -> None:
    """It is not absent: what is absent is made anew."""
    assert good(WEB, count=2).containers is None


@pytest.mark.parametrize(
    ("ping", "exists", "says"),
    [
        ("000 curl: (7) Failed to connect to localhost port 80 after 0 ms:", "yes", "Failed to connect"),
        # EOF: the forward is up, docker not.
        ("000 curl: (52) Empty reply from server", "yes", "Empty reply"),
        ("503", "yes", "the API answers 503"),
        ("000", "yes", "no answer"),
        ("000 curl: (7) Couldn't connect to server", "no", "no socket"),
    ],
)
def test_silence(ping: str, exists: str, says: str) -> None:
    found = engine(ping, exists=exists)
    assert not found.answers
    assert says in str(found.silence)
    assert found.containers is None


def test_unlisted() -> None:
    found = engine("200", "version=28.4.0", "listed=no")
    assert (found.answers, found.containers) == (True, None)


def test_garbage() -> None:
    with pytest.raises(FactProcessError):
        engine("200", "version=28", "listed=yes", "|Error: no such object")


@pytest.mark.parametrize(
    ("said", "nowhere"),
    [
        ("Error response from daemon: manifest for mine:latest not found: manifest unknown", True),
        ('failed to resolve reference "docker.io/a/mine:latest": docker.io/a/mine:latest: not found', True),
        ("invalid reference format", True),
        ('error getting credentials - err: exec: "docker-credential-x": file not found in $PATH', False),
        ("Error response from daemon: Get x: unauthorized: authentication required", False),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", False),
    ],
)
def test_why_an_image_was_not_pulled(said: str, nowhere: bool) -> None:
    outcome = Pulled(None, None, said)
    assert (outcome.nowhere, outcome.failed) == (nowhere, not nowhere)
