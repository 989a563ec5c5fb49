"""What a prune takes, and that it fails aloud when Docker hangs, fails or babbles."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facts.docker import SPEC_LABEL, Prunable
from tests.files.conftest import LABEL, Mac, a_mac, lines
from tests.files.test_lib import HOSTILE

MODES = ["safe", "images", "aggressive"]


def volume(digit: str) -> str:
    """An anonymous volume's name."""
    return digit * 64


OURS, THEIRS, ALIVE = "a" * 64, "b" * 64, "c" * 64
# As the client prints them with the formats of the script.
CONTAINERS = "\n".join(
    [
        f"container\t{OURS}\texited\tinstalled\tsha256:1\t/web",
        "uses-volume\tpages",
        f"uses-volume\t{volume('1')}",
        "uses-network\tbackend",
        f"container\t{THEIRS}\texited\t\tsha256:2\t/old",
        f"uses-volume\t{volume('2')}",
        "uses-network\tfrontend",
        f"container\t{ALIVE}\trunning\t\tsha256:3\t/alive",
        f"uses-volume\t{volume('3')}",
        "uses-network\tbridge",
        "container\tdead\tdead\t\tsha256:3\t/dead",
        "container\tpaused\tpaused\t\tsha256:3\t/paused",
        "container\tagain\trestarting\t\tsha256:3\t/again",
    ]
)
IMAGES = "\n".join(f"image\tsha256:{each}\tname{each}:latest ({each} MB)" for each in (1, 2, 3, 4))
DANGLING = "\n".join(f"image\tsha256:{each}\t<none>:<none> ({each} MB)" for each in (3, 5))
NETWORKS = "\n".join(
    f"network\t{number:064x}\t{each}"
    for number, each in enumerate(["backend", "frontend", "unused", "spare", "-f", "a b"])
)
VOLUMES = "\n".join(
    f"volume\t{each}\t{each}" for each in ("pages", "named", *(map(volume, "1234")), "5" * 63, "G" * 64)
)
DOCKER = r"""
shift 2
case "$1 $2" in
'container ls') printf '%s\n' {ids} ;;
'container inspect') printf '%s\n' '{containers}' ;;
'image ls') case "$*" in *dangling*) printf '%s\n' '{dangling}' ;; *) printf '%s\n' '{images}' ;; esac ;;
'network ls') printf '%s\n' '{networks}' ;;
'volume ls') printf '%s\n' '{volumes}' ;;
*' prune') printf '%s\n' 'Deleted Things:' 'deleted: sha256:4' '' 'Total reclaimed space: 1.2MB' ;;
*' rm') shift 2; printf '%s\n' "$@" ;;
*) exit 64 ;;
esac
""".format(
    ids=f"{OURS} {THEIRS} {ALIVE} dead paused again",
    containers=CONTAINERS,
    dangling=DANGLING,
    images=IMAGES,
    networks=NETWORKS,
    volumes=VOLUMES,
)


@pytest.fixture
def mac() -> Iterator[Mac]:
    with a_mac("bash") as mac:
        mac.configure()
        mac.become("root")
        mac.brewed("docker", DOCKER)
        due(mac).parent.mkdir(parents=True)
        due(mac).touch()
        yield mac


def due(mac: Mac) -> Path:
    """The milestone that says that a prune is due."""
    return mac.root / f"Library/ColimaPulse/state/{LABEL}/prune"


def look(mac: Mac, mode: str, *networks: str) -> tuple[list[str], str | None]:
    """What goes, and why that is not known."""
    done = mac.run("facts/prunable", "alice", "default", mode, *networks, env=HOSTILE)
    assert (done.returncode, done.stderr) == (0, "")
    found = Prunable().process(lines(done))
    return found.goes, found.trouble


def prune(
    mac: Mac, mode: str, *networks: str, edits: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return mac.run("bin/prune", LABEL, mode, *networks, env=HOSTILE, edits=edits)


def changes(mac: Mac) -> list[list[str]]:
    """What docker was told that changes something, without where."""
    return [call[2:] for call in mac.calls("docker") if call[3] in ("prune", "rm")]


LOOKS = {
    "safe": ["image <none>:<none> (5 MB)"],
    "images": ["image name4:latest (4 MB)"],
    "aggressive": [
        "container old (exited)",
        "container dead (dead)",
        "image name2:latest (2 MB)",
        "image name4:latest (4 MB)",
        "network frontend",
        "network unused",
        "network -f",
        "network a b",
        f"volume {volume('2')}",
        f"volume {volume('4')}",
        "the build cache",
    ],
}


@pytest.mark.parametrize("mode", MODES)
def test_look(mac: Mac, mode: str) -> None:
    assert look(mac, mode, "spare") == (LOOKS[mode], None)
    assert changes(mac) == []


def test_the_networks_that_are_named_stay(mac: Mac) -> None:
    found, _ = look(mac, "aggressive", "spare", "unused", "-f", "a b")
    assert [each for each in found if each.startswith("network")] == ["network frontend"]


DOES = {
    "safe": [["image", "prune", "--force"]],
    "images": [["image", "prune", "--force", "--all"]],
    "aggressive": [
        ["container", "prune", "--force", "--filter", f"label!={SPEC_LABEL}"],
        ["network", "rm", *(f"{number:064x}" for number in (1, 2, 4, 5))],
        ["volume", "rm", volume("2"), volume("4")],
        ["image", "prune", "--force", "--all"],
        ["builder", "prune", "--force", "--all"],
    ],
}


@pytest.mark.parametrize("mode", ["none", *MODES])
def test_do(mac: Mac, mode: str) -> None:
    done = prune(mac, mode, "spare")
    assert (done.returncode, done.stderr) == (0, "")
    assert changes(mac) == DOES.get(mode, [])
    said = {
        "container": "container: 1.2MB reclaimed",
        "image": "image: 1.2MB reclaimed",
        "builder": "builder: 1.2MB reclaimed",
        "network": "network: 4 removed",
        "volume": "volume: 2 removed",
    }
    assert done.stdout.splitlines() == [said[words[0]] for words in DOES.get(mode, [])]
    assert not due(mac).exists()


@pytest.mark.parametrize("mode", ["", "all"])
def test_no_such_mode(mac: Mac, mode: str) -> None:
    assert prune(mac, mode).returncode == 64
    assert due(mac).exists()


def test_the_newer_builders_sum(mac: Mac) -> None:
    mac.brewed("docker", DOCKER.replace("Total reclaimed space: 1.2MB", "Total:\t7MB"))
    assert "builder: 7MB reclaimed" in prune(mac, "aggressive").stdout


def test_only_the_profiles_engine_is_asked(mac: Mac) -> None:
    prune(mac, "aggressive")
    calls = mac.calls("docker")
    assert calls
    assert all(call[:2] == ["--host", f"unix://{mac.home}/.colima/default/docker.sock"] for call in calls)
    assert not {"DOCKER_HOST", "DOCKER_CONTEXT"} & set(mac.env("docker"))


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_engine(mac: Mac, mode: str) -> None:
    mac.brewed("docker", '[ "$4" != inspect ] || exit 1; case $4 in ls) ;; *) echo Total: 0B ;; esac')
    assert look(mac, mode) == (["the build cache"] if mode == "aggressive" else [], None)
    assert prune(mac, mode).returncode == 0
    assert not [call for call in changes(mac) if call[1] == "rm"]


GOES = "Error response from daemon: No such container: "


def test_containers_that_come_and_go(mac: Mac) -> None:
    """As `docker run --rm` in a loop makes them: one is always gone when it is asked about."""
    inspect = f"if [ \"$4\" = inspect ]; then {{ {DOCKER} }}; echo '{GOES}{OURS}' >&2; exit 1; fi"
    mac.brewed("docker", f"echo 'WARNING: Error loading config file' >&2\n{inspect}\n{DOCKER}")
    assert look(mac, "images") == (LOOKS["images"], None), "a warning is no answer"


def test_a_container_that_does_not_answer_for_itself_has_not_gone(mac: Mac) -> None:
    mac.brewed(
        "docker",
        f"if [ \"$4\" = inspect ]; then printf '%s\n' '{GOES}a' 'Cannot connect' >&2; exit 1; fi\n{DOCKER}",
    )
    assert look(mac, "images") == ([], "Cannot connect")
    assert prune(mac, "aggressive").returncode == 1
    assert changes(mac) == []


ASKED = ["container ls", "container inspect", "image ls", "network ls", "volume ls"]
DONE = ["container prune", "network rm", "volume rm", "image prune", "builder prune"]


@pytest.mark.parametrize(
    ("where", "trouble"),
    [
        *((where, "fails") for where in (*ASKED, *DONE)),
        ("container ls", "hangs"),
        ("image ls", "is cut off"),
        ("network rm", "hangs"),
        ("image prune", "hangs"),
    ],
)
def test_docker_in_trouble(mac: Mac, where: str, trouble: str) -> None:
    """What could not be listed is not absent: nothing is removed then; and nothing follows a failure."""
    body = {
        "fails": "echo 'Cannot connect to the Docker daemon' >&2; exit 1",
        "hangs": "exec sleep 300",
        "is cut off": "printf 'image\\tsha256:9'; kill -9 $$",
    }[trouble]
    mac.brewed("docker", f'if [ "$3 $4" = "{where}" ]; then {body}; fi\n{DOCKER}')
    edits = {"engine 60 ": "engine 0.3 ", "engine 600 ": "engine 0.3 ", "engine 1800 ": "engine 0.3 "}
    start = time.monotonic()
    done = prune(mac, "aggressive", edits=edits)
    assert time.monotonic() - start < 10
    assert done.returncode == 1
    assert done.stderr.startswith("Docker could not be pruned (aggressive)")
    if trouble == "fails":
        assert done.stdout.endswith("Cannot connect to the Docker daemon\n")
    if trouble == "hangs":
        assert f"docker {where} did not end within" in done.stdout
    told = [" ".join(call[:2]) for call in changes(mac)]
    assert told == ([] if where in ASKED else DONE[: DONE.index(where) + 1])
    assert due(mac).exists()
    assert mac.left() == {}


def test_what_is_not_text(mac: Mac) -> None:
    r"""pyinfra takes UTF-8 and nothing else."""
    body = r"""[ "$3" != image ] || printf 'image\tsha256:4\tb\344\377d (1 MB)\n'"""
    mac.brewed("docker", f'{body}\n[ "$3" = image ] || {{ {DOCKER} }}')
    assert look(mac, "images") == (["image b??d (1 MB)"], None)
    mac.brewed("docker", r"printf 'b\344\377d\n' >&2; exit 1")
    assert look(mac, "images") == ([], "b??d")
