"""What is told of a Mac that does not work: in time, kept for its owner alone, and without secrets."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.checkout import Checkout, Run
from tests.e2e.looking import Deployed, docker, vm_events
from tests.mac.machine import Mac

# Of this run alone: it stands in no file, not even here.
SECRET = f"s3cret-{uuid.uuid4().hex}"
DIAGNOSE = "deploys/diagnose.py"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Docker is broken here by hand: nothing is to bring it back."""
    return {"COLIMA_EXTRA_ARGS": f"--env=TOKEN={SECRET} --env=PLAIN={SECRET}", "PULSE": "false"}


@pytest.fixture(autouse=True)
def without_files(deployed: Deployed) -> Iterator[None]:
    yield
    for path in kept(deployed.checkout):
        path.unlink()


def kept(checkout: Checkout) -> list[Path]:
    return sorted((checkout.directory / "diagnostics").glob("*"))


def part(text: str, title: str) -> str:
    """The lines of one part in the file."""
    match = re.search(rf"(?ms)^== {re.escape(title)}[^\n]* ==\n(.*?)(?=^== |\Z)", text)
    assert match is not None, f"no part {title!r} in:\n{text}"
    return match[1]


def the_file(run: Run, checkout: Checkout) -> str:
    """The one file that was written, seen to be its owner's alone, and named in the output."""
    (path,) = kept(checkout)
    assert str(path) in run.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    return path.read_text()


def test_a_healthy_mac(deployed: Deployed) -> None:
    before = vm_events(deployed.mac)
    run = deployed.checkout.ssh("-y", "-vvv", deploy=DIAGNOSE)
    assert run.status == 0, run.output
    text = the_file(run, deployed.checkout)
    assert "state = running" in part(text, "launchd")
    assert "Running" in part(text, "Lima's instances")
    assert "Guest agent is running" in part(text, "log of Lima's host agent")
    assert "qemu-system-aarch64" in part(text, "processes of profile default")
    assert "docker.sock" in part(text, "sockets")
    assert "200 OK" in part(text, "GET /_ping")
    assert "Server:" in part(text, "docker version")
    assert "Images" in part(text, "docker system df")
    assert "web" in part(text, "docker ps -a")
    assert "Linux" in part(text, "guest: machine")
    assert "docker is active" in part(text, "guest: Docker")
    assert "dockerd" in part(text, "guest: Docker")
    assert "level=info" in part(text, "guest: log of Docker")
    assert "keeping Colima in the foreground" in part(text, "log: ")
    assert "no answer in time" not in text
    assert SECRET not in text + run.output
    assert "TOKEN=***" in text
    assert not any("colima status" in command for command in deployed.mac.commands())
    assert vm_events(deployed.mac) == before


def test_a_mac_on_which_everything_hangs(deployed: Deployed) -> None:
    faults = ("docker-hangs", "guest-frozen", "list-hangs", "status-hangs", "stop-hangs")
    for name in faults:
        deployed.mac.fault(name)
    start = time.monotonic()
    try:
        run = deployed.checkout.ssh("--dry", "--json", deploy=DIAGNOSE)
    finally:
        for name in faults:
            deployed.mac.heal(name)
    assert run.status == 0, run.output
    assert time.monotonic() - start < 60
    text = the_file(run, deployed.checkout)
    hung = [
        title for title in re.findall(r"(?m)^== (.*) ==$", text) if "no answer in time" in part(text, title)
    ]
    assert hung == [
        "Lima's instances",
        "docker version",
        "docker system df",
        "docker ps -a",
        "guest: machine",
        "guest: Docker",
        "guest: log of Docker",
    ]
    assert "timed out" in part(text, "GET /_ping")
    assert "state = running" in part(text, "launchd")
    assert SECRET not in text + run.output


def test_a_gate_that_fails_says_where_its_diagnostics_are_and_why_last(deployed: Deployed) -> None:
    deployed.mac.fault("api-503")
    try:
        run = deployed.checkout.ssh("-y", "--data", "wait_docker_api_max=4")
    finally:
        deployed.mac.heal("api-503")
    assert run.status == 1
    text = the_file(run, deployed.checkout)
    assert "503" in part(text, "GET /_ping")
    said = [line for line in run.output.splitlines() if "[mac" in line]
    (where,) = [index for index, line in enumerate(said) if "diagnostics/" in line]
    last = "\n".join(said[where + 1 :])
    assert "Docker is not ready" in last
    assert "503" in last
    assert SECRET not in text + run.output


def test_an_installer_that_fails_does_not_tell_its_secret(deployed: Deployed) -> None:
    checkout = deployed.checkout
    token = f"installer-{uuid.uuid4().hex}"
    checkout.installer(".env", f"TOKEN={token}\n").chmod(0o600)
    checkout.installer("greedy", f"docker run -d --name greedy -e TOKEN -l token={token} no-such-image:1\n")
    docker(deployed.mac, "run", "-d", "--name", "held", "-l", f"a={token}", "busybox", "sleep", token)
    try:
        run = checkout.ssh("-y")
    finally:
        (checkout.directory / "containers" / "greedy").unlink()
        (checkout.directory / "containers" / ".env").unlink()
    assert run.status == 1
    text = the_file(run, checkout)
    assert "held" in part(text, "docker ps -a")
    assert token not in text + run.output
    assert "containers/greedy failed" in [line for line in run.output.splitlines() if "[mac" in line][-2]


def test_many_hosts_do_not_collide(
    deployed: Deployed, make_mac: Callable[..., Mac], make_checkout: Callable[..., Checkout]
) -> None:
    bare = make_mac()
    checkout = make_checkout(deployed.mac, bare)
    run = checkout.ssh("-y", deploy=DIAGNOSE)
    assert run.status == 0, run.output
    files = kept(checkout)
    assert len(files) == 2
    texts = [path.read_text() for path in files]
    assert sum("Could not find service" in part(text, "launchd") for text in texts) == 1
