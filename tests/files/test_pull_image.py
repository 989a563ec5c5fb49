"""files/pull-image: what an image was and is, and why it cannot be pulled."""

from __future__ import annotations

import subprocess

import pytest

from tests.files.conftest import Mac
from tests.files.test_lib import HOSTILE

# Pulling changes what inspect says, unless it is told to fail.
DOCKER = """
shift 2
case "$1 $2" in
'image inspect') [ -e "$HOME/pulled" ] && echo sha256:new || echo sha256:old ;;
'image pull') : >"$HOME/pulled"; echo "docker.io/library/$4" ;;
esac
"""


def pull(mac: Mac, image: str = "nginx", seconds: float = 10) -> subprocess.CompletedProcess[str]:
    return mac.run("pull-image", "alice", "default", seconds, image, env=HOSTILE)


def test_a_pull(mac: Mac) -> None:
    mac.brewed("docker", DOCKER)
    done = pull(mac, "ghcr.io/a/b:1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "before=sha256:old\nafter=sha256:new\n", "")
    socket = f"unix://{mac.home}/.colima/default/docker.sock"
    assert mac.calls("docker")[1] == ["--host", socket, "image", "pull", "--quiet", "ghcr.io/a/b:1"]
    assert "DOCKER_HOST" not in mac.env("docker")


def test_a_pull_for_another_platform(mac: Mac) -> None:
    mac.brewed("docker", DOCKER)
    mac.run("pull-image", "alice", "default", 10, "nginx", "linux/amd64", env=HOSTILE)
    assert mac.calls("docker")[1][2:] == ["image", "pull", "--quiet", "--platform=linux/amd64", "nginx"]


def test_an_image_that_is_not_here(mac: Mac) -> None:
    mac.brewed("docker", '[ "$4" = inspect ] && { echo; echo "No such image" >&2; exit 1; }; :')
    done = pull(mac)
    assert (done.returncode, done.stdout) == (0, "before=\nafter=\n")


def test_what_docker_says_of_a_failure(mac: Mac) -> None:
    mac.brewed(
        "docker",
        r"""[ "$4" = inspect ] && { echo sha256:old; exit; }
        echo 'Using default tag' >&2; printf 'Error response from daemon: n\351t found\n' >&2; exit 1""",
    )
    done = pull(mac)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "before=sha256:old",
        "Using default tag",
        "Error response from daemon: n?t found",
        "after=sha256:old",
    ]


def test_a_pull_has_a_deadline(mac: Mac) -> None:
    mac.brewed("docker", '[ "$4" = inspect ] && { echo sha256:old; exit; }; exec sleep 300')
    done = pull(mac, seconds=0.3)
    assert done.returncode == 124
    assert "docker pull did not end within 0.3 s" in done.stdout
    assert mac.left() == {}


@pytest.mark.parametrize("image", ["$(touch x)", "a b", "'"])
def test_the_name_is_quoted(mac: Mac, image: str) -> None:
    mac.brewed("docker", DOCKER)
    pull(mac, image)
    assert [call[-1] for call in mac.calls("docker")] == [image] * 3
