"""What is told of a Mac that does not work: in time, kept for its owner alone, fetched without secrets."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.checkout import Checkout, Run
from tests.e2e.looking import LABEL, Deployed, docker, vm_events
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


def test_a_gate_that_fails_keeps_diagnostics_that_are_fetched_without_secrets(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    docker(mac, "run", "-d", "--name", "held", "busybox", "sleep", "1000")
    mac.fault("api-503")
    try:
        run = checkout.ssh("-y", "--data", "wait_docker_api_max=4")
    finally:
        mac.heal("api-503")
    assert run.status == 1
    assert kept(checkout) == []
    (on_mac,) = mac.path("/Library/ColimaPulse/diagnostics").iterdir()
    assert (on_mac.stat().st_mode & 0o777, on_mac.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert on_mac.stat().st_uid == mac.user("root").uid
    assert "503" in part(on_mac.read_text().replace("\n  ", "\n"), "GET /_ping")
    assert f"Diagnostics: /Library/ColimaPulse/diagnostics/{on_mac.name}" in run.output
    assert "Docker is not ready" in run.output
    assert SECRET not in run.output
    run = checkout.ssh("-y", deploy=DIAGNOSE)
    assert run.status == 0, run.output
    text = the_file(run, checkout)
    assert f"== kept when something failed: /Library/ColimaPulse/diagnostics/{on_mac.name} ==" in text
    assert "200 OK" in part(text, "GET /_ping")
    assert "503" in text
    assert SECRET not in text + run.output


def test_a_person_on_the_mac_has_the_same_command(deployed: Deployed) -> None:
    words = ["/Library/ColimaPulse/bin/diagnose", LABEL]
    told = deployed.mac.run(words).stdout
    assert "  state = running" in told.replace("\t", "")
    assert told.endswith("end\n")
    told = deployed.mac.run(["/Library/ColimaPulse/bin/recover", LABEL, "--dry"]).stdout
    assert told == "Docker answers\n"


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
