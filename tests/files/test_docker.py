"""facts/docker against an API that listens on a real socket, and is as unreliable as the real one."""

from __future__ import annotations

import json
import shutil
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from facts.docker import Container, DockerEngine, EngineState, Port
from tests.files.conftest import Mac, lines

SECRET = "hunter2-0d1f"
SPEC = "5" * 64
QUICK = {'_home" 15 /': '_home" 1 /', "-m 5 ": "-m 0.3 "}
VERSION = {
    "Platform": {"Name": "Docker Engine - Community"},
    "Components": [{"Name": "Engine", "Version": "1.0", "Details": {"ApiVersion": "1.51"}}],
    "Version": "28.4.0",
    "ApiVersion": "1.51",
    "MinAPIVersion": "1.24",
}
# By a container's number: as a container has them that runs, that does not, and that was never started.
PORTS: dict[int, object] = {
    1: {
        "443/tcp": None,
        "53/udp": [{"HostIp": "::1", "HostPort": "5353"}],
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    },
    2: {},
    3: None,
}
Answer = tuple[int, str] | Callable[[], tuple[int, str]]


def container(
    number: int, name: str, spec: str | None = None, *, attached: bool = False, **state: object
) -> dict[str, Any]:
    """What the API says of a container, its keys in the API's order."""
    labels = {"maintainer": f'{SECRET} "Name":"/no" a=b|c'} | ({"colima-pulse.spec": spec} if spec else {})
    return {
        "Id": f"{number:064x}",
        "Created": "2025-06-01T10:00:00.1Z",
        "Path": "/entrypoint",
        "Args": ["--token", SECRET, '"State":{"Status":"no"}', "<&>", "}\n{", '"colima-pulse.spec":"no"'],
        "State": {
            "Status": "running", "Running": True, "Paused": False, "Restarting": False, "OOMKilled": False,
            "Dead": False, "Pid": 4242, "ExitCode": 0, "Error": "", "StartedAt": "2025-06-01T10:00:01.5Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": {"Status": "unhealthy", "FailingStreak": 3, "Log": [{"ExitCode": 9, "Output": SECRET}]},
        } | state,
        "Image": f"sha256:{number:064x}",
        "ResolvConfPath": "/var/lib/docker/resolv.conf",
        "LogPath": "/var/lib/docker/json.log",
        "Name": f"/{name}",
        "RestartCount": 0,
        "HostConfig": {
            "Binds": ["/a:/b"],
            "LogConfig": {"Type": "json-file", "Config": {}},
            "Annotations": {"Image": "no"},
            "PortBindings": {"1/tcp": [{"HostIp": "", "HostPort": "1"}]},
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        },
        "Mounts": [{"Type": "volume", "Name": "data", "Source": "/"}],
        "Config": {"Hostname": "h", "AttachStdin": True, "AttachStdout": attached, "AttachStderr": True,
                   "Env": [f"TOKEN={SECRET}", "X=}", '"Image":"no"'],
                   "ExposedPorts": {"1/tcp": {}}, "Volumes": {"Ports": {}},
                   "Image": image(number)[0], "Labels": labels},
        "NetworkSettings": {"Bridge": "", "Ports": PORTS.get(number),
                            "Networks": {"bridge": {"NetworkID": "f" * 64, "EndpointID": "e" * 64}}},
    }  # fmt: skip


def image(number: int) -> tuple[str, str]:
    """A container's image, by its name and by its id."""
    return f"registry.example:5000/a/nginx-{number}:1", f"sha256:{number:064x}"


def go(value: object) -> str:
    """JSON as Go writes it."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"


class Engine:
    """A Docker Engine's API: its answers by path, and the paths it was asked."""

    def __init__(self, *containers: dict[str, Any]) -> None:
        listed = [
            {
                "Id": each["Id"],
                "Names": [each["Name"]],
                "ImageID": each["Image"],
                "Labels": each["Config"]["Labels"],
            }
            for each in containers
        ]
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {
            "/_ping": (200, "OK"),
            "/version": (200, go(VERSION)),
            "/containers/json?all=1": (200, go(listed)),
            **{f"/containers/{each['Id']}/json": (200, go(each)) for each in containers},
        }

    def __call__(self, path: str) -> tuple[int, str]:
        self.asked.append(path)
        answer = self.answers.get(path, (404, go({"message": "page not found"})))
        return answer() if callable(answer) else answer


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that has gone."""


Serve = Callable[[Engine], Engine]


@pytest.fixture
def serve(mac: Mac) -> Iterator[Serve]:
    """Let an engine listen where the default profile's socket is."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    mac.link("curl")
    mac.link("grep")
    directory = mac.home / ".colima/default"
    directory.mkdir(parents=True)
    servers: list[Server] = []

    def start(engine: Engine) -> Engine:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = engine(self.path)
                if status:
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(body.encode(errors="surrogateescape"))

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = Server(str(directory / "docker.sock"), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return engine

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def hang() -> tuple[int, str]:
    time.sleep(1.5)
    return 0, ""


def observe(mac: Mac, edits: dict[str, str] | None = None) -> EngineState:
    env = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_CONTEXT": "other", "LANG": "de_DE.UTF-8"}
    done = mac.run("facts/docker", "alice", "default", env=env, edits=edits)
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET not in done.stdout, "a container's own affairs are printed"
    found = DockerEngine().process(lines(done))
    assert found is not None
    return found


def test_an_engine_and_its_containers(mac: Mac, serve: Serve) -> None:
    web = container(1, "web", SPEC)
    # A Mac's awk ends at such a byte unless it is told that bytes are bytes.
    engine = serve(
        Engine(
            web,
            container(2, "old.one", Status="exited", ExitCode=137, Error='no "StartedAt":"x" |'),
            container(3, "third-3", "6" * 64, Status="created", StartedAt="0001-01-01T00:00:00Z"),
        )
    )
    path = f"/containers/{1:064x}/json"
    engine.answers[path] = (200, go(web).replace('"Env":["', '"Env":["B\udce4D=\udcff", "'))
    state = observe(mac)
    assert state.socket == f"{mac.home}/.colima/default/docker.sock"
    assert (state.silence, state.version) == (None, "28.4.0")
    assert state.containers == {
        "web": Container(
            *("running", 0, "unless-stopped", SPEC, *image(1)),
            (Port("0.0.0.0", 8080, "tcp"), Port("::1", 5353, "udp")),
        ),
        "old.one": Container("exited", 137, "unless-stopped", None, *image(2)),
        "third-3": Container("created", 0, "unless-stopped", "6" * 64, *image(3)),
    }


@pytest.mark.parametrize(
    ("answer", "silence"), [((503, ""), "the API answers 503"), ((0, ""), "Empty reply"), (hang, "timed out")]
)
def test_an_engine_that_does_not_answer_well_is_silent(
    mac: Mac, serve: Serve, answer: Answer, silence: str
) -> None:
    engine = serve(Engine(container(1, "web")))
    engine.answers["/_ping"] = answer
    state = observe(mac, QUICK)
    assert silence in str(state.silence)
    assert state.containers is None
    assert engine.asked[0] == "/_ping"


ONE, ALL = f"/containers/{1:064x}/json", "/containers/json?all=1"


@pytest.mark.parametrize(
    ("path", "answer"), [(ONE, (500, go({"message": "no"}))), (ONE, hang), (ALL, (0, "")), (ALL, hang)]
)
def test_what_cannot_be_read_is_unknown_and_not_absent(
    mac: Mac, serve: Serve, path: str, answer: Answer
) -> None:
    """Taken for absent, it would be removed by force and made anew."""
    engine = serve(Engine(container(1, "web"), container(2, "other")))
    engine.answers[path] = answer
    state = observe(mac, QUICK)
    assert state.answers
    assert state.containers is None


@pytest.mark.parametrize(("path", "before"), [(ALL, '{"Id":"' + f"{2:064x}"), (ONE, '"Labels":')])
def test_an_answer_that_is_cut_off_is_unknown(mac: Mac, serve: Serve, path: str, before: str) -> None:
    """What it does not name any more is not absent: a container, or the label of one."""
    engine = serve(Engine(container(1, "web", SPEC), container(2, "other", SPEC)))
    _, whole = engine(path)
    engine.answers[path] = (200, whole[: whole.index(before)])
    assert (observe(mac).answers, observe(mac).containers) == (True, None)


def test_a_container_that_goes_meanwhile_is_absent(mac: Mac, serve: Serve) -> None:
    """Alone: what comes and goes, as `docker run --rm` in a loop does, does not hide the others."""
    engine = serve(Engine(container(1, "web"), container(2, "other"), container(3, "last")))
    del engine.answers[f"/containers/{2:064x}/json"]
    assert list(observe(mac).containers or {}) == ["web", "last"]
    # Another one that does not answer for itself is not gone.
    engine.answers[f"/containers/{3:064x}/json"] = (500, go({"message": "server error"}))
    assert observe(mac).containers is None


def test_no_socket_and_one_nobody_listens_on(mac: Mac, serve: Serve) -> None:
    state = observe(mac)
    assert state.silence == "there is no socket"
    socket = str(mac.home / ".colima/default/docker.sock")
    socketserver.UnixStreamServer(socket, BaseHTTPRequestHandler).server_close()
    state = observe(mac)
    assert (state.answers, state.containers) == (False, None)
    assert "onnect" in str(state.silence)
