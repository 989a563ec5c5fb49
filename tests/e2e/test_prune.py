"""Pruning, on a real engine: what each mode takes, what none does, and that only a start makes it due."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pexpect
import pytest

from operations.prune import DUE
from tests.checkout import PYINFRA
from tests.e2e.conftest import MakeCheckout, MakeMac
from tests.e2e.looking import LABEL, Deployed, container, docker, job_pid
from tests.mac.machine import Mac

WEB = (
    "docker run -d --name web --restart unless-stopped "
    "-v pages:/usr/share/nginx/html -v /var/cache/nginx nginx\n"
)
LATE = "docker run -d --name late --restart always --network backend busybox sleep 1000\n"
START = ("-y", "--data", "restart=true")


@pytest.fixture(scope="module")
def deployed(make_mac: MakeMac, make_checkout: MakeCheckout) -> Deployed:
    mac = make_mac()
    checkout = make_checkout(mac, installers={"web": WEB})
    made = Deployed(mac, checkout, checkout.ssh, checkout.ssh("-y"))
    assert made.first.status == 0, made.first.output
    return made


@pytest.fixture
def broken_docker(deployed: Deployed) -> Iterator[Callable[[], None]]:
    """A docker client that cannot prune; the function that is given mends it."""
    path = deployed.mac.path("/opt/homebrew/bin/docker")
    real = path.rename(path.with_name("docker.real"))

    def mend() -> None:
        if real.exists() or real.is_symlink():
            real.rename(path)

    path.write_text(
        "#!/bin/sh\ncase $* in *' prune '*) echo 'Error: disk I/O error' >&2; exit 1 ;; esac\n"
        'exec /opt/homebrew/bin/docker.real "$@"\n'
    )
    path.chmod(0o755)
    yield mend
    mend()


def make_dangling(mac: Mac) -> str:
    """An image without a tag: its id."""
    docker(mac, "create", "--name", "brief", "busybox")
    made = docker(mac, "commit", "brief")
    docker(mac, "rm", "brief")
    return made


def images(mac: Mac) -> set[str]:
    """The ids and names of all images."""
    return set(docker(mac, "image", "ls", "--no-trunc", "--format", "{{.ID}}\n{{.Repository}}").split())


def names(mac: Mac, kind: str, *options: str) -> set[str]:
    name = "{{.Names}}" if kind == "container" else "{{.Name}}"
    return set(docker(mac, kind, "ls", *options, "--format", name).split())


def is_due(mac: Mac) -> bool:
    return mac.path(f"/Library/ColimaPulse/state/{LABEL}/{DUE}").exists()


def test_safe_takes_a_dangling_image_and_none_with_a_tag(deployed: Deployed) -> None:
    mac, dangling = deployed.mac, make_dangling(deployed.mac)
    docker(mac, "pull", "alpine")
    # Neither a start without a mode, nor a mode without a start.
    assert (
        deployed.run(*START, "--data", "prune_mode=safe", "--data", "prune_docker_after_start=false").status
        == 0
    )
    run = deployed.run("-y", "--json", "--data", "prune_mode=images")
    assert (run.status, run.changed) == (0, [])
    assert dangling in images(mac)
    run = deployed.run(*START, "--data", "prune_mode=safe")
    assert run.status == 0, run.output
    assert "prune (safe) takes image <none>:<none>" in run.output
    assert "reclaimed" in run.output
    assert dangling not in images(mac)
    assert {"alpine", "nginx"} <= images(mac)
    assert not is_due(mac)


def test_a_prune_that_fails_is_made_up_for(deployed: Deployed, broken_docker: Callable[[], None]) -> None:
    mac, options = deployed.mac, ("--data", "prune_mode=images")
    docker(mac, "pull", "alpine")
    docker(mac, "create", "--name", "asleep", "busybox")
    run = deployed.run(*START, *options)
    assert run.status == 1
    assert "disk I/O error" in run.output
    assert is_due(mac)
    broken_docker()
    assert "Prune Docker: images, due since the last start" in deployed.run("--dry", *options).output
    run = deployed.run("-y", *options)
    assert run.status == 0, run.output
    assert "prune (images) takes image alpine:latest" in run.output
    found = images(mac)
    assert "alpine" not in found
    assert {"nginx", "busybox"} <= found  # a container that is stopped uses its image
    assert names(mac, "container", "--all") == {"web", "asleep"}
    assert not is_due(mac)
    docker(mac, "rm", "asleep")


@pytest.fixture
def littered(deployed: Deployed) -> Iterator[tuple[str, str]]:
    """Two stopped containers, an installer's and a stranger's, each with an anonymous volume: these."""
    mac = deployed.mac
    for network in ("kept", "lonely", "backend"):
        docker(mac, "network", "create", network, check=False)
    docker(mac, "volume", "create", "named")
    deployed.checkout.installer("late", LATE)
    assert deployed.run("-y").status == 0
    docker(mac, "rm", "--force", "late")
    docker(mac, "run", "--name", "stranger", "-v", "/data", "busybox", "true")
    docker(mac, "network", "connect", "kept", "web", check=False)
    docker(mac, "stop", "web")
    yield anonymous(mac, "web"), anonymous(mac, "stranger")
    docker(mac, "rm", "--force", "--volumes", "stranger", check=False)
    docker(mac, "start", "web")


def anonymous(mac: Mac, name: str) -> str:
    mounts = docker(mac, "inspect", "--format", "{{range .Mounts}}{{.Name}}\n{{end}}", name).split()
    (found,) = [each for each in mounts if len(each) == 64]
    return found


def test_aggressive_spares_what_the_installers_made(deployed: Deployed, littered: tuple[str, str]) -> None:
    mac, (ours, theirs) = deployed.mac, littered
    docker(mac, "pull", "alpine")
    before = job_pid(mac)
    run = deployed.run(*START, "--data", "prune_mode=aggressive")
    assert run.status == 1  # nobody is there to ask
    assert "force_yes=true" in run.output
    assert job_pid(mac) == before
    # Where nothing is started there is nothing to ask about.
    assert deployed.run("-y", "--data", "prune_mode=aggressive").status == 0
    docker(mac, "rm", "--force", "late")

    run = deployed.run(*START, "--data", "prune_mode=aggressive", "--data", "force_yes=true")
    assert run.status == 0, run.output
    for line in ("container stranger (exited)", "network lonely", f"volume {theirs}", "image alpine:latest"):
        assert f"prune (aggressive) takes {line}" in run.output
    assert names(mac, "container", "--all") == {"web", "late"}
    assert "nginx" in images(mac)
    assert "alpine" not in images(mac)
    assert {"pages", "named", ours} <= names(mac, "volume")
    assert theirs not in names(mac, "volume")
    assert {"kept", "backend"} <= names(mac, "network")
    assert "lonely" not in names(mac, "network")
    assert not is_due(mac)

    docker(mac, "start", "web")
    assert container(mac, "web", "State.Status") == "running"
    assert container(mac, "late", "State.Status") == "running"


def test_aggressive_asks_on_a_terminal(deployed: Deployed, littered: tuple[str, str]) -> None:
    """Also with -y, which is no answer to this; and Enter alone is no."""
    mac = deployed.mac
    deployed.checkout.write_env()
    command = [*PYINFRA, "inventory.py", "deploy.py", *START, "--data", "prune_mode=aggressive"]
    directory = deployed.checkout.directory
    child = pexpect.spawn(command[0], command[1:], cwd=directory, encoding="utf-8", timeout=120)
    child.expect_exact("container stranger (exited)")
    child.expect(r"Prune Docker of that\? \[y/N\]")
    child.sendline("")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert "stranger" in names(mac, "container", "--all")
    assert not is_due(mac)
