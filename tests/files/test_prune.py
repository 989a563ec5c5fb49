"""What a prune takes, and that it fails aloud when Docker hangs, fails or babbles."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from facts.docker import SPEC_LABEL, Prunable
from tests.files.conftest import LABEL, Mac, lines
from tests.files.test_lib import HOSTILE


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


@pytest.fixture(autouse=True)
def deployed(mac: Mac) -> None:
    mac.configure()
    mac.become("root")
    mac.brewed("docker", DOCKER)
    due(mac).parent.mkdir(parents=True)
    due(mac).touch()


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


def test_look(mac: Mac) -> None:
    for mode, goes in LOOKS.items():
        assert look(mac, mode, "spare") == (goes, None)
    assert changes(mac) == []
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


@pytest.mark.parametrize("mode", ["none", *DOES])
def test_do(mac: Mac, mode: str) -> None:
    done = prune(mac, mode, "spare")
    assert (done.returncode, done.stderr) == (0, "")
    assert changes(mac) == DOES.get(mode, [])
    said = {"network": "network: 4 removed", "volume": "volume: 2 removed"}
    assert done.stdout.splitlines() == [
        said.get(words[0], f"{words[0]}: 1.2MB reclaimed") for words in DOES.get(mode, [])
    ]
    assert not due(mac).exists()
    calls = mac.calls("docker")
    # Only the profile's engine is asked.
    assert all(call[:2] == ["--host", f"unix://{mac.home}/.colima/default/docker.sock"] for call in calls)
    assert not calls or not {"DOCKER_HOST", "DOCKER_CONTEXT"} & set(mac.env("docker"))


def test_a_run_that_came_first(mac: Mac) -> None:
    """It has done what was due; what a person wants, and was not due, is done all the same."""
    lock = 'lock "$label" 600 || exit'
    first = f'{lock}; waited=yes; /bin/rm -f "$state/prune"'
    assert prune(mac, "safe", edits={lock: first}).stdout == "Docker was pruned meanwhile\n"
    assert changes(mac) == []
    assert prune(mac, "safe", edits={lock: first}).stdout == "image: 1.2MB reclaimed\n"


def test_no_such_mode_and_a_newer_builders_sum(mac: Mac) -> None:
    assert prune(mac, "all").returncode == 64
    assert due(mac).exists()
    mac.brewed("docker", DOCKER.replace("Total reclaimed space: 1.2MB", "Total:\t7MB"))
    assert "builder: 7MB reclaimed" in prune(mac, "aggressive").stdout


def test_an_empty_engine(mac: Mac) -> None:
    mac.brewed("docker", '[ "$4" != inspect ] || exit 1; case $4 in ls) ;; *) echo Total: 0B ;; esac')
    assert look(mac, "images") == ([], None)
    assert look(mac, "aggressive") == (["the build cache"], None)
    assert prune(mac, "aggressive").returncode == 0
    assert not [call for call in changes(mac) if call[1] == "rm"]


GOES = "Error response from daemon: No such container: "


def test_containers_that_come_and_go(mac: Mac) -> None:
    """As `docker run --rm` in a loop makes them: one is always gone when it is asked about."""
    inspect = f"if [ \"$4\" = inspect ]; then {{ {DOCKER} }}; echo '{GOES}{OURS}' >&2; exit 1; fi"
    mac.brewed("docker", f"echo 'WARNING: Error loading config file' >&2\n{inspect}\n{DOCKER}")
    assert look(mac, "images") == (LOOKS["images"], None), "a warning is no answer"
    # One that does not answer for itself has not gone.
    fails = f"if [ \"$4\" = inspect ]; then printf '%s\n' '{GOES}a' 'Cannot connect' >&2; exit 1; fi"
    mac.brewed("docker", f"{fails}\n{DOCKER}")
    assert look(mac, "images") == ([], "Cannot connect")
    assert prune(mac, "aggressive").returncode == 1
    assert changes(mac) == []


DONE = ["container prune", "network rm", "volume rm", "image prune", "builder prune"]
FAILS = "echo 'Cannot connect to the Docker daemon' >&2; exit 1"


@pytest.mark.parametrize(
    ("where", "body", "says"),
    [
        ("container ls", "exec sleep 300", "docker container ls did not end within 0.3 s"),
        ("image ls", "printf 'image\\tsha256:9'; kill -9 $$", ""),
        ("network ls", FAILS, "Cannot connect to the Docker daemon"),
        ("volume ls", FAILS, "Cannot connect to the Docker daemon"),
        ("container prune", FAILS, "Cannot connect to the Docker daemon"),
        ("network rm", "exec sleep 300", "docker network rm did not end within 0.3 s"),
        ("volume rm", FAILS, "Cannot connect to the Docker daemon"),
        ("image prune", "exec sleep 300", "docker image prune did not end within 0.3 s"),
    ],
)
def test_docker_in_trouble(mac: Mac, where: str, body: str, says: str) -> None:
    """What could not be listed is not absent: nothing is removed then; and nothing follows a failure."""
    mac.brewed("docker", f'if [ "$3 $4" = "{where}" ]; then {body}; fi\n{DOCKER}')
    edits = {"engine 60 ": "engine 0.3 ", "engine 600 ": "engine 0.3 ", "prune 1800 ": "prune 0.3 "}
    done = prune(mac, "aggressive", edits=edits if says.endswith("0.3 s") else {})
    assert done.returncode == 1
    assert done.stderr.startswith("Docker could not be pruned (aggressive)")
    assert says in done.stdout
    told = [" ".join(call[:2]) for call in changes(mac)]
    assert told == ([] if where.endswith(" ls") else DONE[: DONE.index(where) + 1])
    assert due(mac).exists()
    assert mac.left() == {}


def test_what_is_not_text(mac: Mac) -> None:
    r"""pyinfra takes UTF-8 and nothing else."""
    body = r"""[ "$3" != image ] || printf 'image\tsha256:4\tb\344\377d (1 MB)\n'"""
    mac.brewed("docker", f'{body}\n[ "$3" = image ] || {{ {DOCKER} }}')
    assert look(mac, "images") == (["image b??d (1 MB)"], None)
    mac.brewed("docker", r"printf 'b\344\377d\n' >&2; exit 1")
    assert look(mac, "images") == ([], "b??d")
