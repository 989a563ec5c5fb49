"""What a guest says within a deadline, Docker restarted in one, and which Colima is installed."""

from __future__ import annotations

import time

import pytest

from facts.colima import Disk, Guest, GuestState
from tests.files.conftest import Mac, lines
from tests.files.test_lib import HOSTILE

# A guest in which systemd says what it is told to; its login shell greets.
GUEST = """
instance=$4; shift 4
echo "Welcome to Ubuntu docker=active, answers=no"
systemctl() {{
    case $* in
        'is-active docker') echo {docker} ;; 'is-active containerd') echo {containerd} ;;
        'show --property=ActiveEnterTimestampMonotonic docker.service') {entered} ;;
        *) exit 9 ;;
    esac
}}
cut() {{ [ "$*" = '-d. -f1 /proc/uptime' ] && echo 90; }}
df() {{ [ "$*" = '-kP /var/lib/docker' ] && {df}; }}
[ "$1" = {sh} ] && shift
[ "$1" = -c ] && eval "$2"
"""


ENTERED = "echo ActiveEnterTimestampMonotonic=30000001"
DF = """printf '%s\\n' 'Filesystem     1024-blocks  Used Available Capacity Mounted on' \\
    '/dev/vdb1              100    60        30      67% /mnt/lima-colima'"""
DISK = Disk(100 * 1024, 60 * 1024, 30 * 1024)


def guest(
    mac: Mac, docker: str = "active", containerd: str = "active", entered: str = ENTERED, df: str = DF
) -> None:
    mac.brewed(
        "limactl",
        GUEST.format(docker=docker, containerd=containerd, entered=entered, df=df, sh=f"{mac.root}/tools/sh"),
    )


def observed(mac: Mac, profile: str = "default", seconds: str = "15") -> GuestState | None:
    done = mac.run(
        "facts/guest",
        "alice",
        profile,
        env=HOSTILE,
        edits={'"$profile" 15': f'"$profile" {seconds}', "alarm 5": "alarm 0.2"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return Guest().process(lines(done))


def test_a_guest_that_is_well(mac: Mac) -> None:
    mac.become("root")
    guest(mac)
    assert observed(mac, "web") == GuestState(True, "active", "active", 60, DISK, 0)
    ((*words, _),) = mac.calls("limactl")
    assert words == ["shell", "--workdir", "/", "colima-web", f"{mac.root}/tools/sh", "-c"]
    assert mac.env("limactl")["LIMA_HOME"] == f"{mac.home}/.colima/_lima"
    assert mac.env("limactl")["HOME"] == str(mac.home)
    assert "DOCKER_HOST" not in mac.env("limactl")


def test_what_is_not_known_is_told_apart(mac: Mac) -> None:
    unknown = "echo ActiveEnterTimestampMonotonic="
    for words, said in [
        (("failed", "activating"), GuestState(True, "failed", "activating", disk=DISK, clock_off=0)),
        (("'active; $(date)'",), GuestState(True, None, "active", disk=DISK, clock_off=0)),
        (
            ("active", "active", ENTERED, "echo a b c d e f"),
            GuestState(True, "active", "active", 60, clock_off=0),
        ),
        (("active", "active", unknown), GuestState(True, "active", "active", disk=DISK, clock_off=0)),
    ]:
        guest(mac, *words)
        assert observed(mac) == said, words


def test_the_guests_clock_is_asked_between_two_looks_at_the_macs(mac: Mac) -> None:
    (mac.root / "clocks").write_text("100\n7\n101\n")
    mac.tool(
        "/bin/date",
        f"""[ "$*" = +%s ] && cd '{mac.root}' && sed -n 1p clocks && sed 1d clocks >rest && mv rest clocks""",
    )
    guest(mac)
    found = observed(mac)
    assert found is not None
    assert found.clock_off == -93


def test_a_disk_that_hangs_takes_nothing_else_with_it(mac: Mac) -> None:
    guest(mac, df="exec sleep 300")
    assert observed(mac, seconds="0.5") == GuestState(True, "active", "active", 60, clock_off=0)


@pytest.mark.parametrize(
    "body",
    [
        "trap '' TERM; sleep 300",
        "sleep 300 & exit 255",  # what it leaves behind holds its output open
        "echo answers=maybe; echo 'ssh: answers=yes' >&2; printf '\\377\\376answers=yes'; exit 1",
    ],
)
def test_a_guest_that_does_not_answer(mac: Mac, body: str) -> None:
    mac.brewed("limactl", body)
    start = time.monotonic()
    assert observed(mac, seconds="0.3") == GuestState(False)
    assert time.monotonic() - start < 10


def test_nobody_is_unreadable_and_no_limactl_no_answer(mac: Mac) -> None:
    assert observed(mac) == GuestState(False)
    done = mac.run("facts/guest", "nobody", "default")
    assert done.returncode == 0
    assert Guest().process(lines(done)) is None


# restart-docker

SYSTEMD = """
shift 4
PATH={root}/guest:$PATH
"$@"
"""


def systemd(mac: Mac, containerd: bool, status: int = 0) -> None:
    """A guest whose systemctl notes what it is told, behind the sudo of a guest."""
    (mac.root / "guest").mkdir()
    mac.brewed("limactl", SYSTEMD.format(root=mac.root))
    for name, body in {
        "sudo": '[ "$1" = -n ] && shift; exec "$@"',
        "systemctl": f"""echo "$*" >>'{mac.root}/told'
            case $1 in
                is-active) echo word; exit {0 if containerd else 3} ;;
                restart) echo failed >&2; exit {status} ;;
            esac""",
    }.items():
        path = mac.root / "guest" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)


RESTART = 'restart_docker alice "$1" web "$2"'


@pytest.mark.parametrize("containerd", [True, False])
def test_restart_docker(mac: Mac, containerd: bool) -> None:
    mac.become("root")
    systemd(mac, containerd)
    done = mac.call(RESTART, mac.home, 30, env=HOSTILE)
    assert done.returncode == 0
    assert "word" not in done.stdout
    told = (mac.root / "told").read_text().splitlines()
    assert told[0].startswith("reset-failed docker.socket docker.service")
    restarts = [line for line in told if line.startswith("restart")]
    assert restarts == ["restart containerd.service"] * (not containerd) + ["restart docker.service"]
    assert mac.calls("limactl")[0][3] == "colima-web"


def test_a_restart_that_fails_says_why_and_one_that_hangs_has_a_deadline(mac: Mac) -> None:
    systemd(mac, True, status=1)
    done = mac.call(RESTART, mac.home, 30)
    assert (done.returncode, done.stdout) == (1, "failed\n")
    mac.brewed("limactl", "trap '' TERM; sleep 300")
    assert mac.call(RESTART, mac.home, 0.3, edits={"alarm 5": "alarm 0.2"}).returncode == 124
