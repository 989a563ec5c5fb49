"""diagnose: every part asked, one that hangs or fails says so, and the rest goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from facts.diagnosis import Diagnostics, Part
from tests.files.conftest import LABEL, Mac, hostagent, lines
from tests.files.test_lib import HOSTILE

HANG = "exec sleep 300"
DEADLINE = "deadline=$(($(/bin/date +%s) + 40))"


@pytest.fixture
def log(mac: Mac) -> Path:
    """A Mac whose tools answer, and its log."""
    mac.become("root")
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
    text = b"".join(b"line %d\n" % number for number in range(300))
    path.write_bytes(text + b"\xff\x1b== no part ==\nlast")
    return path


def left_behind(mac: Mac) -> list[Path]:
    """The temporary files that were not removed; from now on they are made in the test's directory."""
    kept = mac.root / "kept"
    if not kept.exists():
        kept.mkdir()
        mac.tool("/usr/bin/mktemp", f'[ "$1" = -d ] || set --; exec mktemp $1 "{kept}/x.XXXXXX"')
    return list(kept.iterdir())


def ran(mac: Mac, log: Path | str, seconds: str = "15", **edits: str) -> list[Part]:
    edits = {f'"${name}" 15': f'"${name}" {seconds}' for name in ("profile", "home")} | edits
    edits |= {"bounded 15": f"bounded {seconds}", DEADLINE: DEADLINE.replace("40", "8")}
    left_behind(mac)
    done = mac.run("bin/diagnose", LABEL, "alice", "default", log, env=HOSTILE, edits=edits)
    assert (done.returncode, done.stderr, left_behind(mac)) == (0, "", [])
    return Diagnostics().process(lines(done))


def find(found: list[Part], title: str) -> Part:
    (part,) = [each for each in found if each.title.startswith(title)]
    return part


def test_all_is_asked(mac: Mac, log: Path) -> None:
    agent = mac.start(hostagent(mac))
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
        "log of the pulse",
        f"log: {log}",
    ]
    assert find(found, "launchd").lines == (f"system/{LABEL} = {{", "}")
    assert find(found, "Lima's").lines == ("colima Running",)
    assert find(found, "log of Lima").lines == ("the host agent",)
    assert find(found, "processes").lines[0].startswith(f"{agent.pid} ")
    assert any("ha.stderr.log" in line for line in find(found, "sockets").lines)
    assert find(found, "GET").lines == ("HTTP/1.1 200 OK", "", "OK")
    assert "df -h" in find(found, "guest: machine").lines[0]
    tail = find(found, "log: ").lines
    assert (len(tail), tail[-2:]) == (180, ("??== no part ==", "last"))
    socket = f"{mac.home}/.colima/default/docker.sock"
    assert {tuple(call[:2]) for call in mac.calls("docker")} == {("--host", f"unix://{socket}")}
    assert not {"DOCKER_HOST", "DOCKER_CONTEXT"} & mac.env("docker").keys()
    assert socket in mac.calls("curl")[0]
    assert mac.env("limactl")["LIMA_HOME"] == f"{mac.home}/.colima/_lima"
    # Two are root's own: launchd's answer, and the pulse's log; and ps.
    assert len([call for call in mac.calls("sudo") if "alice" in call]) >= len(found) - 3


def test_what_hangs_says_so_and_the_rest_goes_on(mac: Mac, log: Path) -> None:
    body = "trap '' TERM; sleep 300"
    for tool in ("/bin/launchctl", "/usr/bin/curl"):
        mac.tool(tool, body)
    for name in ("docker", "limactl", "colima"):
        mac.brewed(name, f"echo begun; {body}")
    start = time.monotonic()
    found = ran(mac, log, "0.3", **{"alarm 5": "alarm 0.3"})
    assert time.monotonic() - start < 15, "all at once"
    late = [part.title for part in found if part.lines[-1:] == ("(no answer in time)",)]
    assert len(late) == 9
    assert find(found, "docker version").lines == ("begun", "(no answer in time)")
    assert find(found, "log: ").lines[-1] == "last"
    assert mac.calls("colima") == []


def test_what_hangs_before_its_deadline_begins_is_not_waited_for(mac: Mac, log: Path) -> None:
    """sudo itself, which may ask a directory service that does not answer."""
    mac.tool("/usr/bin/sudo", HANG)
    mac.tool("/bin/date", f"echo >>'{mac.root}/asked'; wc -l <'{mac.root}/asked'")
    found = ran(mac, log)
    assert find(found, "docker version").lines == ("(no answer in time)",)
    assert find(found, "launchd").lines[0].startswith("system/")


def test_what_fails_says_so_long_lines_are_cut_and_nothing_holds_the_answer(mac: Mac, log: Path) -> None:
    """An ssh that others share keeps the output of the first open."""
    mac.brewed("limactl", "echo said; sleep 300 &")
    mac.brewed("docker", "echo no >&2; exit 3")
    log.write_text("x" * 200_000 + "\nlast\n")
    found = ran(mac, log)
    assert find(found, "guest: machine").lines == ("said",)
    assert find(found, "docker version").lines == ("no", "(exit status 3)")
    assert find(found, "processes").lines == ("(nothing)",)
    long, last = find(found, "log: ").lines
    assert (len(long) < 65537, last) == (True, "last")


def test_a_person_names_the_label_and_is_told_what_was_kept(mac: Mac, log: Path) -> None:
    mac.configure(log=log)
    kept = mac.root / "Library/ColimaPulse/diagnostics"
    kept.mkdir()
    for number in (1, 2):
        (kept / f"{LABEL}-20261122-10000{number}.txt").write_text(f"why {number}\n== a ==\nend\n")
    (kept / f"{LABEL}-web-20261122-100003.txt").write_text("another label's\n")
    edits = {DEADLINE: DEADLINE.replace("40", "8")}
    done = mac.run("bin/diagnose", LABEL, edits=edits)
    assert done.returncode == 0
    first, *rest = Diagnostics().process(lines(done))
    assert first.title == f"kept when something failed: {kept}/{LABEL}-20261122-100002.txt"
    assert first.lines == ("  why 2", "  == a ==", "  end")
    assert [part.title for part in rest][:: len(rest) - 1] == [f"launchd: {LABEL}", f"log: {log}"]
    mac.become("alice")
    assert mac.run("bin/diagnose", LABEL).returncode == 77


def test_a_cut_off_answer_says_so() -> None:
    assert Diagnostics().process(["== a ==", "  one", "sh: no"]) == [
        Part("a", ("one",)),
        Part("the answer is incomplete", ()),
    ]
