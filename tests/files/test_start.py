"""bin/follow-start and bin/start: a start is followed and shown; a first one that fails is undone."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.files.conftest import LABEL, Mac, hostagent, is_gone, qemu
from tests.files.launchd import IDLE, PLIST, RUNS
from tests.files.test_gate import EOF, GOOD, NO_DIAGNOSTICS, Gate

RECORDINGS = Path(__file__).parents[1] / "recordings" / "colima"
SPAWNING = "spawning|0|0|"


def lima(status: str, vm_type: str = "qemu", name: str = "colima") -> str:
    return json.dumps(
        {"name": name, "hostname": f"lima-{name}", "status": status, "dir": "/x", "vmType": vm_type},
        separators=(",", ":"),
    )


class Start:
    """A start under way: Lima says one thing after another, and so does launchd; the last one stays."""

    def __init__(self, mac: Mac) -> None:
        self.mac = mac
        self.gate = Gate(mac)
        self.launchd = self.gate.launchd
        self.launchd.job(RUNS)
        self.launchd.plist.write_text(PLIST)
        self.launchd.state.mkdir(parents=True)
        self.launchd.log.write_text("of an earlier start\n")
        self.note("log-offset", "20")
        self.said = mac.root / "lima"
        mac.brewed(
            "limactl",
            f"""cd '{self.said}'; for each in *; do break; done; echo '{lima("Running", name="colima-web")}'
            cat "$each"; [ "$(ls | wc -l)" -eq 1 ] || rm "$each" """,
        )
        mac.brewed("colima", ":")
        self.says(lima("Running"))

    def says(self, *answers: str) -> None:
        self.said.mkdir(exist_ok=True)
        for at, each in enumerate(answers):
            (self.said / f"{at:03}").write_text(f"{each}\n" if each else "")

    def note(self, name: str, text: str = "") -> None:
        (self.launchd.state / name).write_text(f"{text}\n")

    def logs(self, name: str) -> None:
        """Let Colima have written a recorded log."""
        with self.launchd.log.open("a") as log:
            log.write((RECORDINGS / f"{name}.log").read_text())

    def follow(self) -> subprocess.CompletedProcess[str]:
        return self.mac.run("bin/follow-start", LABEL, edits=NO_DIAGNOSTICS)


@pytest.fixture
def start(mac: Mac) -> Start:
    return Start(mac)


def test_a_start_is_followed_until_lima_says_running(start: Start) -> None:
    start.launchd.job("broken", SPAWNING, RUNS)
    start.says("", lima("Stopped"), lima("Running"))
    done = start.follow()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert start.launchd.now == 2
    assert start.mac.env("limactl")["LIMA_HOME"] == f"{start.mac.home}/.colima/_lima"


def test_a_first_start_is_up_when_docker_has_answered(start: Start) -> None:
    start.note("first-start")
    start.gate.answers(EOF, EOF, GOOD)
    assert start.follow().returncode == 0
    assert start.launchd.now == 2
    assert start.launchd.notes() == {"log-offset": "20"}


@pytest.mark.parametrize(("first", "bound"), [(False, 17), (True, 22)])
def test_it_has_its_time(start: Start, first: bool, bound: int) -> None:
    start.mac.configure(start_seconds=17, first_start_seconds=22)
    if first:
        start.note("first-start")
    start.says(lima("Stopped"))
    start.launchd.hurry(8)
    done = start.follow()
    assert done.returncode == 1
    assert f"Colima is starting: 16 of {bound} s (Lima: Stopped)\n" in done.stdout
    assert f"Colima did not start: not up after {bound} s (Lima: Stopped). " in done.stderr
    assert bound <= start.launchd.now < bound + 9
    assert ("run this again with --data restart=true" in done.stderr) is not first
    assert ("bootout" in start.launchd.verbs) is first


@pytest.mark.parametrize(
    ("jobs", "why", "next"),
    [
        ([RUNS, IDLE], "colima start ended (last exit: 1)", "launchd goes on trying"),
        # It ended and launchd has started it again.
        ([RUNS, "running|313|2|1"], "colima start ended (last exit: 1)", "restart=true"),
        ([RUNS, "absent"], "the job was booted out meanwhile", "Run this again"),
    ],
)
def test_a_later_start_that_fails_is_left_to_launchd(
    start: Start, jobs: list[str], why: str, next: str
) -> None:
    start.launchd.job(*jobs)
    start.says(lima("Stopped"))
    start.logs("docker-fails")
    done = start.follow()
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("Colima did not start: ")
    assert f"{why}; Colima says: error starting docker: exit status 1. " in done.stderr
    assert next in done.stderr
    assert done.stderr.endswith(f" Colima's log: {start.launchd.log}\n")
    assert start.launchd.verbs == []
    assert start.launchd.plist.exists()


def test_a_start_that_waits_for_a_disk_says_so(start: Start) -> None:
    start.mac.configure(start_seconds=3)
    start.says(lima("Stopped"))
    with start.launchd.log.open("a") as log:
        log.write('time="x" level=warning msg="/Volumes/Big is not mounted: waiting for it" context=launch\n')
    done = start.follow()
    assert "(Lima: Stopped). /Volumes/Big is not mounted; Colima starts when it is there. " in done.stderr


def test_a_first_start_that_fails_is_undone(start: Start) -> None:
    start.note("first-start")
    start.says(lima("Stopped"))
    start.logs("docker-fails")
    start.launchd.job(RUNS, IDLE)
    vm = [start.mac.start(hostagent(start.mac)), start.mac.start(qemu(start.mac))]
    (start.mac.home / "pids").write_text(" ".join(str(each.pid) for each in vm))
    start.mac.brewed("colima", 'kill $(cat "$HOME/pids")')
    done = start.follow()
    assert done.returncode == 1
    assert done.stderr.endswith(
        "; Colima says: error starting docker: exit status 1. The job is unloaded again and nothing of it "
        f"runs. Remove the cause, then run this again. Colima's log: {start.launchd.log}\n"
    )
    assert start.mac.calls("colima") == [["stop", "--profile=default"]]
    assert start.launchd.verbs == ["bootout"]
    assert all(is_gone(each.pid) for each in vm)
    # Nothing tries again at boot.
    assert not start.launchd.plist.exists()
    assert not start.launchd.state.exists()


@pytest.mark.parametrize("first", [True, False])
def test_another_hypervisor_is_undone_and_deleted_if_it_is_new(start: Start, first: bool) -> None:
    if first:
        start.note("first-start")
    start.says(lima("Running", "vz"))
    done = start.follow()
    assert done.returncode == 1
    assert "the VM came up on vz, not on qemu. The job is unloaded again" in done.stderr
    assert start.launchd.verbs == ["bootout"]
    assert start.mac.calls("colima") == ([["delete", "--force", "--profile=default"]] if first else [])
    assert not start.launchd.plist.exists()


def test_an_undoing_that_fails_says_so(start: Start) -> None:
    start.note("first-start")
    start.launchd.job(IDLE)
    start.launchd.codes("bootout", 150)
    done = start.follow()
    assert "Not all of it could be undone, see above" in done.stderr.splitlines()[-1]
    assert start.launchd.plist.exists()


WARNING = "warning: unable to validate disk image, but continuing as requested..."
SHOWN = ["starting colima", "runtime: docker", "creating and starting ...", WARNING]
SHOWN += ["provisioning ...", "starting ...", "fatal: error starting docker: exit status 1"]


@pytest.mark.parametrize(("hide", "shown"), [("yes", [WARNING, SHOWN[-1]]), ("no", SHOWN)])
def test_the_log_is_shown_once_as_a_person_reads_it(start: Start, hide: str, shown: list[str]) -> None:
    start.mac.configure(hide_info=hide)
    start.logs("docker-fails")
    start.says(lima("Stopped"), lima("Running"))
    done = start.follow()
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line in SHOWN] == shown
    assert "time=" not in done.stdout


def test_lines_of_the_log(start: Start) -> None:
    start.mac.configure(hide_info="no")
    start.launchd.log.write_text(
        "of an earlier start\n"
        'time="2026-11-21T23:54:20Z" level=info msg=done\n'
        'time="x" level=info msg="provisioning ..." context=docker\n'
        'time="x" level=error msg="Instance \\"a\\" has errors:\\n\\tb" error="x"\n'
        'Successfully created context "colima"\n'
        "\033]0;x\007ÿ\n"
        "\n"
    )
    assert start.follow().stdout.splitlines() == [
        "done",
        "provisioning ...",
        'error: Instance "a" has errors:  b',
        'Successfully created context "colima"',
        "?]0;x?ÿ",
    ]


def test_a_log_that_was_emptied_is_shown_from_its_beginning(start: Start) -> None:
    start.launchd.log.write_text("anew\n")
    assert start.follow().stdout == "anew\n"


def run_start(start: Start) -> subprocess.CompletedProcess[str]:
    return start.mac.run("bin/start", LABEL, edits=NO_DIAGNOSTICS)


def test_started_after_a_stop(start: Start) -> None:
    start.launchd.job("absent")
    start.note("verified", "5")
    start.gate.answers(EOF, GOOD)
    done = run_start(start)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Docker 28.4.0 is ready: 3 good answers" in done.stdout
    assert start.launchd.verbs == ["enable", "bootstrap"]
    assert start.launchd.notes() == {"log-offset": "20", "verified": "3"}


def test_one_that_runs_is_enabled_and_seen_ready(start: Start) -> None:
    start.gate.answers(GOOD)
    shutil.rmtree(start.launchd.state)
    done = run_start(start)
    assert (done.returncode, done.stderr) == (0, "")
    assert start.launchd.verbs == ["enable"]
    assert start.launchd.notes() == {"verified": "3"}


def test_what_is_not_started(start: Start) -> None:
    start.launchd.hurry(4)
    start.says(lima("Stopped"))
    start.gate.answers(EOF)
    done = run_start(start)
    assert "Colima did not start: not up after 5 s" in done.stderr
    assert "Diagnostics: " in done.stdout
    (start.said / "000").write_text(f"{lima('Running')}\n")
    done = run_start(start)
    assert "Docker is not ready: no good answer within 4 s" in done.stderr
    assert done.stderr.endswith(f"recover {LABEL} brings it back\n")
    told = len(start.launchd.verbs)
    start.launchd.job("broken")
    assert f"cannot be read. Look: sudo launchctl print system/{LABEL}" in run_start(start).stderr
    start.note("first-start")
    assert "profile default has never come up. Run deploy.py" in run_start(start).stderr
    start.launchd.plist.unlink()
    assert "plist is not as a deploy leaves it. Run deploy.py" in run_start(start).stderr
    assert len(start.launchd.verbs) == told
