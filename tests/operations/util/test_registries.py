"""What is taken from docker's configuration on the machine that deploys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from operations.util.registries import ANEW, FILE, parse

AUTH = "YWxpY2U6czM6Y3JldA=="  # alice:s3:cret


def test_logins() -> None:
    config = {
        "auths": {"a": {"auth": AUTH, "identitytoken": "t1"}, "b": {"registrytoken": "t2"}},
        "proxies": {},
    }
    found = parse(json.dumps({**config, "currentContext": "desktop-linux"}).encode())
    assert json.loads(found.text) == config, "there is no such context on a Mac"
    assert "\n" not in found.text
    assert found.secrets == (AUTH, "t1", "s3:cret", "t2")
    assert found.faults == found.warnings == ()
    assert not any(secret in repr(found) for secret in found.secrets)


def test_nothing_to_log_in_to() -> None:
    assert parse(b"{}").text == "{}"


@pytest.mark.parametrize(
    ("config", "fault", "warning"),
    [
        ("{", "no configuration of docker's", ""),
        ([], "no configuration of docker's", ""),
        ({"auths": []}, "no configuration of docker's", ""),
        ({"auths": {"a": "x"}}, "the login to a is no JSON object", ""),
        ({"auths": {"a": {"auth": "%"}}}, "the auth of a is not NAME:PASSWORD in base64", ""),
        ({"auths": {"a": {"auth": "YWxpY2U="}}}, "the auth of a is not NAME:PASSWORD in base64", ""),
        ({"auths": {"a": {"auth": "/w=="}}}, "the auth of a is not NAME:PASSWORD in base64", ""),
        ({"auths": {"a": {}}}, "", "a has no password: docker --config containers/.docker login a"),
        # As docker leaves it where it finds a helper; the entry is no second thing to mind.
        (
            {"auths": {"a": {}}, "credsStore": "osxkeychain"},
            "credsStore keeps the password in this machine's keychain",
            "",
        ),
        ({"credHelpers": {"a": "desktop"}}, "credHelpers keeps the password in this machine's keychain", ""),
        ({"credsStore": "", "credHelpers": {}}, "", ""),
    ],
)
def test_what_is_wrong(config: Any, fault: str, warning: str) -> None:
    found = parse((config if isinstance(config, str) else json.dumps(config)).encode())
    assert [fault in each for each in found.faults] == [True] * bool(fault)
    assert [warning in each for each in found.warnings] == [True] * bool(warning)


def test_a_file_that_is_no_text() -> None:
    assert parse(b"\xff\xfe{}").faults


class Registry(BaseHTTPRequestHandler):
    """One that wants a login."""

    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Authorization"] == f"Basic {AUTH}" else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("anew", [True, False])
def test_what_docker_itself_writes(tmp_path: Path, anew: bool) -> None:
    """It puts the password into a keychain, where PATH has a helper, unless there is a login already."""
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("no docker here: sh tests/mac/prepare")
    for name in ("osxkeychain", "secretservice"):  # what it looks for on macOS and on Linux
        helper = tmp_path / f"docker-credential-{name}"
        helper.write_text("#!/bin/sh\ncat >/dev/null\n")
        helper.chmod(0o755)
    (tmp_path / "containers" / FILE).parent.mkdir(parents=True)
    with HTTPServer(("127.0.0.1", 0), Registry) as registry:
        threading.Thread(target=registry.serve_forever).start()
        command = f"{ANEW if anew else ANEW.partition('; ')[2]} --username alice --password-stdin"
        done = subprocess.run(
            ["/bin/sh", "-c", command.replace("REGISTRY", f"127.0.0.1:{registry.server_port}")],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "DOCKER_HOST": f"unix://{tmp_path}/none"},
            input="s3:cret\n",
            capture_output=True,
            text=True,
        )
        registry.shutdown()
    assert done.returncode == 0, done.stderr
    found = parse((tmp_path / "containers" / FILE).read_bytes())
    assert (found.secrets, found.warnings) == ((AUTH, "s3:cret") if anew else (), ())
    assert ["credsStore" in each for each in found.faults] == [True] * (not anew)
