"""Pulling an image: what it was and is, and why it cannot be pulled."""

from __future__ import annotations

import json

import pytest

from facts.docker import Pulled, PulledImage, logins
from tests.files.conftest import Mac, lines
from tests.files.test_lib import HOSTILE

# Pulling changes what inspect says, unless the test has it fail.
DOCKER = """
shift 2
case "$1 $2" in
'image inspect') [ -e "$HOME/pulled" ] && echo sha256:new || echo sha256:old ;;
'image pull') {pull}; : >"$HOME/pulled"; echo "docker.io/library/$4" ;;
esac
"""


LOGINS = '{"auths": {"ghcr.io": {"auth": "YTpi"}}}'


def pull(mac: Mac, docker: str, *arguments: object, edits: dict[str, str] | None = None) -> Pulled:
    mac.brewed("docker", DOCKER.format(pull=docker) if "\n" not in docker else docker)
    words = arguments or (3, "nginx")
    given = logins(LOGINS)["_stdin"].read()
    done = mac.run("facts/pull", "alice", "default", *words, stdin=given, env=HOSTILE, edits=edits)
    assert (done.returncode, done.stderr) == (0, "")
    return PulledImage().process(lines(done))


def pulls(mac: Mac) -> list[list[str]]:
    return [call for call in mac.calls("docker") if call[3] == "pull"]


def test_a_pull(mac: Mac) -> None:
    once = '[ -e "$HOME/once" ] || { : >"$HOME/once"; echo EOF >&2; exit 1; }'
    assert pull(mac, once, 3, "$(touch x) '", "linux/amd64") == Pulled("sha256:old", "sha256:new")
    socket = f"unix://{mac.home}/.colima/default/docker.sock"
    words = ["--host", socket, "image", "pull", "--quiet", "--platform=linux/amd64", "$(touch x) '"]
    assert pulls(mac) == [words] * 2
    assert "DOCKER_HOST" not in mac.env("docker")


def test_a_pull_knows_the_logins_and_nobody_else_does(mac: Mac) -> None:
    mac.become("root")
    seen = f"cp \"$DOCKER_CONFIG/config.json\" '{mac.root}/seen'; ps -axww -o command= >'{mac.root}/ps'"
    assert pull(mac, seen) == Pulled("sha256:old", "sha256:new")
    assert json.loads((mac.root / "seen").read_text()) == json.loads(LOGINS)
    assert "YTpi" not in (mac.root / "ps").read_text()
    assert list((mac.home / "Library/Caches/colima-pulse").iterdir()) == []
    assert mac.calls("sudo"), "docker runs as the user"


def test_an_image_that_is_not_here(mac: Mac) -> None:
    docker = '[ "$4" = inspect ] && { echo; echo "No such image" >&2; exit 1; }\n:'
    assert pull(mac, docker) == Pulled(None, None)


@pytest.mark.parametrize(
    ("said", "trouble", "tries"),
    [
        (r"printf 'Using default tag\nError: n\351t found\n' >&2; exit 1", "Error: n?t found", 1),
        (
            "echo 'Head x: unauthorized' >&2; exit 1",
            "Head x: unauthorized (for private images, see containers/README.md)",
            1,
        ),
        ("echo 'Error: Get x: EOF' >&2; exit 1", "Error: Get x: EOF", 3),
        ("exit 1", "docker says nothing", 1),
        ("exec sleep 300", "docker image pull did not end within 0.3 s", 1),
    ],
)
def test_what_docker_says_of_a_failure(mac: Mac, said: str, trouble: str, tries: int) -> None:
    found = pull(mac, said, edits={" 3600 ": " 0.3 "})
    assert found == Pulled("sha256:old", "sha256:old", trouble)
    assert len(pulls(mac)) == tries
    assert mac.left() == {}
