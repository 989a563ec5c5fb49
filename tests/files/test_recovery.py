"""What is wrong with Docker, told from what is; and the steps that bring it back, the smallest first."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from facts.diagnosis import Diagnosis, DiagnosisState
from tests.files.conftest import LABEL, a_mac, hostagent, lines, qemu
from tests.files.world import FATAL, KICK, KILL, RUNNING, SILENT, STARTED, STARTING, TERM, World

SMALL, LARGE, IDLE = ("docker", "job", "hard"), ("job", "hard"), ("kick", "hard")


@pytest.fixture
def world() -> Iterator[World]:
    with a_mac("bash") as mac:
        yield World(mac)


def diagnosed(world: World, edits: dict[str, str] | None = None) -> DiagnosisState:
    words = ("alice", "default", LABEL, world.log, 300)
    done = world.mac.run("facts/diagnosis", *words, edits=edits)
    assert (done.returncode, done.stderr) == (0, "")
    found = Diagnosis().process(lines(done))
    assert found is not None
    return found


def well(world: World) -> None:
    """All but Docker."""
    world.silent()
    world.docker()
    world.guest()
    world.lima(RUNNING)
    world.job(312)


def half(world: World) -> None:
    """Docker answers a ping, and no more."""
    world.answers()
    world.put(listed="OK\n200\n\n500")


TROUBLES: list[tuple[Callable[[World], None], str, tuple[str, ...]]] = [
    (lambda world: world.guest("failed"), "docker is failed", SMALL),
    (lambda world: world.guest("activating", "failed"), "docker is activating and containerd is", SMALL),
    (half, "cannot list its containers; the guest is well", SMALL),
    (lambda world: world.silent("printf 503"), "the API answers 503; in the guest Docker is act", LARGE),
    (lambda world: world.guest("", ""), "Docker is in an unknown state", LARGE),
    (lambda world: world.guest(body="echo Welcome; exit 255"), "the guest does not answer either", LARGE),
    (lambda world: world.lima(RUNNING.replace("Running", "Broken")), "its VM (Lima: Broken)", LARGE),
    (lambda world: world.lima('{"name":"colima-foo","status":"Running"}'), "(Lima: no instance)", LARGE),
    (lambda world: world.lima(body="exit 1"), "(Lima: no answer)", LARGE),
    (lambda world: world.lima(body="exec sleep 300"), "(Lima: no answer)", LARGE),
    (lambda world: world.job(None), "Colima does not run (last exit: 78: EX_CONFIG)", IDLE),
]


def test_what_can_help(world: World) -> None:
    edits = {
        'as_user "$1" "$2" 30 /usr/bin/env': 'as_user "$1" "$2" 0.3 /usr/bin/env',
        "alarm 5": "alarm 0.2",
    }
    for trouble, found, steps in TROUBLES:
        well(world)
        trouble(world)
        seen = diagnosed(world, edits)
        assert found in seen.found
        assert (seen.steps, seen.good, seen.passing, seen.refused) == (steps, False, False, False)
        assert seen.plan.startswith(f"{seen.found}. To recover: ")
        assert seen.plan.count("; failing that, ") == len(steps) - 1
    assert world.steps() == []


def test_a_docker_that_is_good_needs_nothing(world: World) -> None:
    world.answers()
    world.job(None, status=113)
    assert diagnosed(world) == DiagnosisState("Docker answers", good=True, plan="Docker answers")
    assert (world.mac.calls("launchctl"), world.mac.calls("limactl")) == ([], [])


def unreadable(**texts: str) -> Callable[[World], None]:
    return lambda world: world.put(**{key.replace("_", "-"): text for key, text in texts.items()})


@pytest.mark.parametrize(
    ("trouble", "found"),
    [
        (lambda world: world.job(None, status=113), "is not loaded, perhaps on purpose: run deploys/start"),
        (lambda world: world.disable(), "is disabled, perhaps on purpose: run deploys/start.py"),
        (lambda world: world.provisioned.unlink(), "has not come up yet: run deploy.py"),
        (unreadable(print_status="112"), f"about the job {LABEL} cannot be read"),
        (unreadable(print_disabled_status="1"), "about disabled jobs cannot be read"),
    ],
)
def test_what_is_refused(world: World, trouble: Callable[[World], None], found: str) -> None:
    trouble(world)
    world.lima("")
    seen = diagnosed(world)
    assert found in seen.found
    assert (seen.refused, seen.steps, seen.plan) == (True, (), seen.found)
    done = world.mac.run("bin/recover", LABEL)
    assert (done.returncode, done.stderr) == (1, f"{seen.found}\n")
    assert (world.steps(), world.kept.exists()) == ([], False)


def test_a_file_that_cannot_be_read_is_not_absent(world: World) -> None:
    world.provisioned.unlink()
    edits = {"echo yes; else echo no": "exit 1; else exit 1"}
    assert diagnosed(world, edits).steps == LARGE


COLIMA = "/opt/homebrew/bin/colima start --foreground"
LAUNCH = f"/bin/sh /Library/ColimaPulse/bin/launch {COLIMA}"


def test_a_start_takes_its_time(world: World) -> None:
    """Its end is in the log. It begins a moment after launch, which logs nothing, has become Colima."""
    world.lima("")
    for age, command, log, starting in [
        ("04:59", COLIMA, STARTED + STARTING, True),
        ("1-00:00:30", COLIMA, STARTING, False),
        ("00:30", COLIMA, STARTED, False),
        ("00:05", COLIMA, STARTED, True),
        ("00:30", LAUNCH, STARTED, True),
        ("00:30", LAUNCH.replace("/bin/launch", "/launch"), STARTED, True),
        ("06:00", LAUNCH, STARTED, False),
    ]:
        world.put(process=f"{age} {world.mac.path(command)}")
        world.log.write_text(log)
        seen = diagnosed(world)
        assert (seen.passing, seen.steps) == (starting, () if starting else LARGE), (age, command)
        assert ("still starting. To recover: wait" in seen.plan) is starting
    waits = 'level=warning msg="/Volumes/Big is not mounted: waiting for it" context=launch\n'
    world.put(process=f"00:30 {world.mac.path(LAUNCH)}")
    world.log.write_text(STARTED + waits)
    assert diagnosed(world).plan.endswith(
        "/Volumes/Big is not mounted; Colima starts when it is there. To recover: wait"
    )
    world.put(process="")
    assert diagnosed(world).steps == LARGE, "unreadable is not young"
    world.forget_calls()
    world.job(312, state="SIGTERMed")
    assert diagnosed(world).passing
    assert world.mac.calls("limactl") == []


def test_the_last_fatal_line_of_a_start_that_has_not_succeeded(world: World) -> None:
    world.job(None)
    world.log.write_text(STARTED + FATAL)
    assert diagnosed(world).fatal == "error starting docker: exit status 1"
    world.log.write_text(FATAL + STARTED)
    assert diagnosed(world).fatal is None


def recover(world: World, *words: str, **edits: str) -> subprocess.CompletedProcess[str]:
    edits = {"STOP_SECONDS=240": "STOP_SECONDS=20"} | edits
    return world.mac.run("bin/recover", LABEL, *words, edits=edits)


def test_dry_says_what_would_be_done_and_does_nothing(world: World) -> None:
    world.guest("failed")
    with world.locked():
        done = recover(world, "--dry")
        assert recover(world, "--hard").returncode == 64
    assert done.stdout == (
        f"{SILENT}; in the guest docker is failed. To recover: restart Docker in the guest; failing that, "
        "stop Colima gracefully and start it again; failing that, "
        "kill Colima and its VM and start them again\n"
    )
    assert (done.returncode, world.restarts, world.steps()) == (0, 0, [])


def test_trouble_that_passes_is_waited_out(world: World) -> None:
    world.guest("failed")
    ready = world.uptime + 8
    world.silent(f"read -r now <'{world.world}/now'; [ $now -ge {ready + 1_750_000_000} ] && printf 200")
    done = recover(world)
    assert (done.returncode, done.stderr) == (0, "")
    assert (world.restarts, world.steps()) == (0, [])


def test_docker_in_the_guest_is_restarted_and_nothing_else(world: World) -> None:
    world.guest("failed", heals=True)
    done = recover(world)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{SILENT}; in the guest docker is failed\n")
    assert done.stdout.endswith("Docker is back. What helped: restart Docker in the guest\n")
    assert (world.restarts, world.steps()) == (1, [])


def test_the_job_is_ended_and_started_past_its_throttle(world: World) -> None:
    world.lima("")
    world.answers_after("kickstart")
    world.put(kill=world.respawns)
    done = recover(world)
    assert (done.returncode, done.stderr) == (0, "")
    assert world.steps() == [TERM, KICK], "without -k"
    assert "What helped: stop Colima gracefully" in done.stdout


def test_what_does_not_stop_is_killed_pid_by_verified_pid(world: World) -> None:
    """A guest that is deaf is not waited for as long."""
    mac = world.mac
    agent, machine = mac.start(hostagent(mac)), mac.start(qemu(mac), ignores_term=True)
    strangers = [mac.start(qemu(mac, "colima-foo")), mac.start(f"vim {qemu(mac)}")]
    world.guest(body="exit 255")
    world.put(kill=f"case $2 in KILL) {world.respawns} ;; esac")
    world.answers_after("kickstart")
    done = recover(world)
    assert done.returncode == 0
    assert done.stderr == "Colima has not ended within 30 s\n"
    assert world.steps() == [TERM, KILL, KICK]
    assert "What helped: kill Colima and its VM" in done.stdout
    assert (agent.wait(5), machine.wait(5)) == (-signal.SIGTERM, -signal.SIGKILL)
    assert [each.poll() for each in strangers] == [None, None]


def test_without_ps_nothing_but_the_job_is_killed(world: World) -> None:
    machine = world.mac.start(qemu(world.mac))
    world.mac.tool("/bin/ps", "exit 1")
    world.put(kill=f"case $2 in KILL) {world.respawns} ;; esac")
    world.answers_after("kickstart")
    done = recover(world)
    assert "the processes of this Mac cannot be read; only the job is ended" in done.stderr
    assert (world.steps(), machine.poll()) == ([TERM, KILL, KICK], None)


DISABLED = '\tdisabled services = {{\n\t\t"{label}" => disabled\n\t}}'
DISABLE = f"printf '%s\\n' '{DISABLED}' >'{{world}}/print-disabled'"


def test_a_job_that_is_disabled_meanwhile_is_not_started(world: World) -> None:
    world.lima("")
    world.put(kill=DISABLE.format(world=world.world, label=LABEL) + f"; {world.respawns}")
    done = recover(world)
    assert (done.returncode, world.steps()) == (1, [TERM])
    assert f"{LABEL} is not loaded and enabled any more: it is left alone" in done.stderr


def test_when_nothing_helps_it_says_so_and_keeps_diagnostics(world: World) -> None:
    world.guest("failed")
    world.put(kill=world.respawns, kickstart="echo 'Could not kickstart' >&2; exit 124")
    for number in range(12):
        world.kept.mkdir(exist_ok=True)
        (world.kept / f"{LABEL}-20250101-0000{number:02}.txt").touch()
    other = world.kept / f"{LABEL}-web-20250101-000000.txt"
    other.touch()
    done = recover(world)
    assert done.returncode == 1
    assert (world.restarts, TERM in world.steps()) == (1, True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Docker is not ready: ")
    assert (
        "in the guest docker is failed. Tried, and none of it helped: restart Docker in the guest; stop"
        in last
    )
    assert "launchctl kickstart system" in done.stderr
    kept = sorted(world.kept.glob(f"{LABEL}-2*"))
    assert (len(kept), other.exists()) == (10, True)
    assert f"Diagnostics: {kept[-1]}. To fetch them: pyinfra HOST deploys/diagnose.py\n" in done.stdout
    assert (kept[-1].stat().st_mode & 0o777, world.kept.stat().st_mode & 0o777) == (0o600, 0o700)
    text = kept[-1].read_text()
    assert text.startswith("Docker is not ready: ")
    assert "== docker version ==" in text
    assert text.endswith("end\n")
