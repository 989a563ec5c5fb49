"""diagnose: every part asked, one that hangs or fails says so, and the rest goes on."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from operations.diagnostics import Part, parts
from tests.files.conftest import Mac, lines
from tests.files.test_guest import left_behind
from tests.files.test_lib import HOSTILE

LABEL = "homebrew.mrcee.colima-pulse"
HANG = "exec sleep 300"
DEAF = "trap '' TERM; sleep 300"
QUICK = {"deadline=$(($(/bin/date +%s) + 40))": "deadline=$(($(/bin/date +%s) + 8))"}


@pytest.fixture
def log(mac: Mac) -> Path:
    """A Mac whose tools answer, and its log."""
    return prepare(mac)


def prepare(mac: Mac) -> Path:
    mac.link("ls")
    mac.tool("/bin/launchctl", 'echo "$2 = {"; echo "}"')
    mac.tool("/usr/bin/curl", "echo 'HTTP/1.1 200 OK'; echo; printf OK")
    mac.brewed("docker", 'shift 2; echo "docker $1 says"')
    mac.brewed("limactl", 'case $1 in list) echo "colima Running" ;; shell) echo "the guest: $7" ;; esac')
    instance = mac.home / ".colima/_lima/colima"
    instance.mkdir(parents=True)
    (mac.home / ".colima/default").mkdir()
    (instance / "ha.stderr.log").write_text("the host agent\n")
    path = mac.root / "a log"
    path.write_bytes(
        b"".join(b"line %d\n" % number for number in range(300)) + b"\xff\xfe== no part ==\nlast"
    )
    return path


def ran(mac: Mac, log: Path | str, seconds: str = "15") -> list[Part]:
    edits = QUICK | {f'"${name}" 15': f'"${name}" {seconds}' for name in ("profile", "home")}
    edits |= {"bounded 15": f"bounded {seconds}"}
    left_behind(mac)
    done = mac.run("diagnose", "alice", "default", LABEL, log, env=HOSTILE, edits=edits)
    assert done.returncode == 0
    assert left_behind(mac) == []
    assert done.stderr == ""
    return parts(lines(done))


def find(found: list[Part], title: str) -> Part:
    (part,) = [each for each in found if each.title.startswith(title)]
    return part


def test_all_is_asked(mac: Mac, log: Path) -> None:
    agent = mac.start(f"limactl hostagent --pidfile {mac.home}/.colima/_lima/colima/ha.pid --socket x")
    found = ran(mac, log)
    assert [part.title for part in found] == [
        f"launchd: {LABEL}",
        "Lima's instances",
        "log of Lima's host agent",
        "processes of profile default",
        "sockets",
        "GET /_ping",
        "docker version",
        "docker system df",
        "docker ps -a",
        "guest: machine",
        "guest: Docker",
        "guest: log of Docker",
        f"log: {log}",
    ]
    assert find(found, "launchd").lines == (f"system/{LABEL} = {{", "}")
    assert find(found, "Lima's").lines == ("colima Running",)
    assert find(found, "log of Lima").lines == ("the host agent",)
    assert find(found, "processes").lines[0].startswith(f"{agent.pid} ")
    assert any("ha.stderr.log" in line for line in find(found, "sockets").lines)
    assert find(found, "GET").lines == ("HTTP/1.1 200 OK", "", "OK")
    assert find(found, "docker version").lines == ("docker version says",)
    assert "df -h" in find(found, "guest: machine").lines[0]
    tail = find(found, "log: ").lines
    assert len(tail) == 180
    assert tail[-2:] == ("??== no part ==", "last")
    assert not any("(exit status" in line for part in found for line in part.lines)


@pytest.mark.parametrize("caller", ["root", "alice"])
def test_as_the_user_and_over_the_profiles_socket(mac: Mac, log: Path, caller: str) -> None:
    mac.become(caller)
    ran(mac, log)
    socket = f"{mac.home}/.colima/default/docker.sock"
    assert {tuple(call[:2]) for call in mac.calls("docker")} == {("--host", f"unix://{socket}")}
    assert "DOCKER_HOST" not in mac.env("docker")
    assert "DOCKER_CONTEXT" not in mac.env("docker")
    assert socket in mac.calls("curl")[0]
    assert mac.env("limactl")["LIMA_HOME"] == f"{mac.home}/.colima/_lima"
    assert mac.calls("limactl")[0][:1] in (["list"], ["shell"])


@pytest.mark.parametrize("body", [HANG, DEAF])
def test_what_hangs_says_so_and_the_rest_goes_on(one_mac: Mac, body: str) -> None:
    log = prepare(one_mac)
    for tool in ("/bin/launchctl", "/usr/bin/curl"):
        one_mac.tool(tool, body)
    for name in ("docker", "limactl", "colima"):
        one_mac.brewed(name, f"echo begun; {body}")
    start = time.monotonic()
    found = ran(one_mac, log, "0.3")
    assert time.monotonic() - start < 10, "all at once"
    late = [part.title for part in found if part.lines[-1:] == ("(no answer in time)",)]
    assert len(late) == 9
    assert find(found, "docker version").lines == ("begun", "(no answer in time)")
    assert find(found, "log: ").lines[-1] == "last"
    assert one_mac.calls("colima") == []


def test_what_hangs_before_its_deadline_begins_is_not_waited_for(one_mac: Mac) -> None:
    """sudo itself, which may ask a directory service that does not answer."""
    log = prepare(one_mac)
    one_mac.become("root")
    one_mac.tool("/usr/bin/sudo", HANG)
    start = time.monotonic()
    found = ran(one_mac, log)
    assert time.monotonic() - start < 11
    assert find(found, "docker version").lines == ("(no answer in time)",)
    assert find(found, "launchd").lines[0].startswith("system/")


def test_a_process_left_behind_does_not_hold_the_answer(mac: Mac, log: Path) -> None:
    """An ssh that others share keeps the output of the first open."""
    mac.brewed("limactl", "echo said; sleep 300 &")
    start = time.monotonic()
    found = ran(mac, log)
    assert time.monotonic() - start < 8
    assert find(found, "guest: machine").lines == ("said",)


def test_what_fails_says_so(mac: Mac) -> None:
    found = ran(mac, "/nowhere")
    titles = {part.title for part in found if re.match(r"\(exit status \d+\)", part.lines[-1])}
    assert titles >= {f"launchd: {LABEL}", "Lima's instances", "sockets", "docker version", "log: /nowhere"}
    assert find(found, "processes").lines == ("(nothing)",)


def test_nobody(mac: Mac) -> None:
    done = mac.run("diagnose", "nobody", "default", LABEL, "/nowhere", edits=QUICK)
    assert done.returncode == 0
    assert len(parts(lines(done))) >= 13


def test_it_is_bounded_in_size(mac: Mac, log: Path) -> None:
    log.write_text("x" * 200_000 + "\nlast\n")
    (long, last) = find(ran(mac, log), "log: ").lines
    assert len(long) < 65537
    assert last == "last"


def test_without_room_it_says_so(mac: Mac, log: Path) -> None:
    mac.tool("/usr/bin/mktemp", "echo 'mktemp: No space left on device' >&2; exit 1")
    done = mac.run("diagnose", "alice", "default", LABEL, log)
    assert done.returncode == 1
    assert "No space left" in done.stderr
