"""The pulse, tick by tick: what it looks at, what it does, what it logs; with a clock that the test moves."""

from __future__ import annotations

import gzip
import os
import re
import signal
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from string import ascii_letters, digits
from typing import Any

import pytest

from facts.pulse import Pulse as PulseFact
from facts.pulse import PulseState
from tests.files.conftest import LABEL, Mac, a_mac, lines, until
from tests.files.test_docker import container
from tests.files.world import BOOT, FATAL, KICK, KILL, SILENT, STARTED, STARTING, TERM, World

MISSES = 3
LINE = re.compile(r'time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=(\w+) msg="(.*)" context=pulse')
SPEC = "5" * 64
GONE = "Colima's process runs without its VM (Lima: no instance)"


class Pulse(World):
    """Its ticks."""

    def __init__(self, mac: Mac) -> None:
        super().__init__(mac)
        self.own_log = mac.root / f"log/{LABEL}.log"
        self.own_log.write_text("")
        mac.link("gzip")
        self.configure()

    def configure(self, **more: object) -> None:
        values = {"log": self.log, "start_seconds": 100, "api_seconds": 200, "log_max_mb": 1, "log_keep": 2}
        self.mac.configure(**values | more)  # type: ignore[arg-type]

    def printed(self, seconds: int = 30, edits: Mapping[str, str] | None = None) -> list[str]:
        """Let so many seconds pass, and the pulse tick; the lines that it prints."""
        self.uptime += seconds
        moved = {"/var/log/$label.log": f"{self.own_log.parent}/$label.log"}
        done = self.mac.run("daemons/pulse", LABEL, edits=moved | dict(edits or {}))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    def tick(self, seconds: int = 30, **options: Any) -> list[str]:
        """Let so many seconds pass, and the pulse tick; what it says, each "LEVEL TEXT"."""
        said = []
        for line in self.printed(seconds, **options):
            match = LINE.fullmatch(line)
            assert match is not None, line
            said.append(f"{match[1]} {match[2]}")
        return said

    def ticks(self, number: int, **options: Any) -> list[str]:
        return [line for _ in range(number) for line in self.tick(**options)]

    @property
    def state(self) -> dict[str, str]:
        lines = (self.directory / "state").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines[:-1])

    def note(self, old: str, new: str) -> None:
        path = self.directory / "state"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def observed(self) -> PulseState:
        edits = {"/var/log/$1.log": f"{self.own_log.parent}/$1.log"}
        done = self.mac.run("facts/pulse", LABEL, edits=edits)
        assert (done.returncode, done.stderr) == (0, "")
        return PulseFact().process(lines(done))


@pytest.fixture
def fresh() -> Iterator[Pulse]:
    """It has not looked yet; Docker does not answer."""
    with a_mac("dash") as mac:
        yield Pulse(mac)


@pytest.fixture
def pulse(fresh: Pulse) -> Pulse:
    """Docker has answered under the job's process, and does so no more."""
    fresh.answers()
    assert fresh.tick() == []
    fresh.silent()
    return fresh


def to_recover(step: str, found: str, seconds: int = 60) -> str:
    return f"warning to recover: {step} ({found}); the next step not within {seconds} s"


def test_while_all_is_well_a_tick_is_one_curl_as_the_user_and_one_stat(pulse: Pulse) -> None:
    pulse.answers()
    pulse.tick()
    before = (pulse.directory / "state").stat().st_mtime_ns
    pulse.forget_calls()
    assert pulse.ticks(2) == []
    called = {path.name for path in (pulse.mac.root / "calls").iterdir() if not path.suffix}
    assert called == {"curl", "stat", "sudo"}
    socket = f"{pulse.mac.home}/.colima/default/docker.sock"
    ask = ["-q", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket]
    assert pulse.mac.calls("curl") == [[*ask, "http://localhost/_ping"]] * 2
    assert [call[:5] for call in pulse.mac.calls("sudo")] == [
        ["-n", "-H", "-u", "alice", pulse.mac.path("/usr/bin/curl")]
    ] * 2
    assert len(pulse.mac.calls("stat")) == 2
    assert (pulse.directory / "state").stat().st_mtime_ns == before


def test_a_few_misses_are_noted_and_no_more(pulse: Pulse) -> None:
    assert pulse.ticks(MISSES - 1) == []
    assert pulse.state["misses"] == str(MISSES - 1)
    pulse.answers()
    assert pulse.ticks(2) == []
    assert (pulse.state["misses"], pulse.steps(), pulse.mac.calls("limactl")) == ("0", [], [])


# The step that can help


def test_a_vm_that_is_gone(pulse: Pulse) -> None:
    pulse.lima("")
    pulse.put(kill=pulse.respawns)
    assert pulse.ticks(MISSES) == [
        f"warning {SILENT}; {GONE}",
        to_recover("stop Colima gracefully and start it again", GONE),
    ]
    assert pulse.steps() == [TERM, KICK]


def test_a_docker_that_is_dead_in_the_guest(pulse: Pulse) -> None:
    pulse.guest("failed")
    assert pulse.ticks(MISSES) == [
        f"warning {SILENT}; in the guest docker is failed",
        to_recover("restart Docker in the guest", "in the guest docker is failed"),
    ]
    assert (pulse.restarts, pulse.steps()) == (1, [])
    pulse.answers()
    assert pulse.tick() == ["info Docker answers again after 150 s"]


def test_a_step_that_helps_is_seen_in_the_same_tick(pulse: Pulse) -> None:
    """What fails right after it is other trouble: the back-off of this one has ended."""
    pulse.guest("failed", heals=True)
    assert pulse.ticks(MISSES)[-1] == "info Docker answers again after 60 s"
    assert {pulse.state[key] for key in ("misses", "delay", "not_before")} == {"0"}
    assert pulse.state["step"] == ""
    pulse.silent()
    assert pulse.ticks(MISSES)[1].startswith("warning to recover: restart Docker in the guest")


@pytest.mark.parametrize("seconds", [50, 70])
def test_a_start_is_awaited_until_the_next_step_may_come(pulse: Pulse, seconds: int) -> None:
    pulse.lima("")
    pulse.put(kill=pulse.respawns)
    ready = BOOT + pulse.uptime + 30 * MISSES + seconds
    pulse.silent(f"read -r now <'{pulse.world}/now'; [ $now -ge {ready} ] && printf 200")
    said = pulse.ticks(MISSES)
    assert pulse.steps() == [TERM, KICK]
    assert (said[-1] == f"info Docker answers again after {60 + seconds} s") is (seconds < 60)


def test_a_job_that_launchd_holds_back_is_kicked(fresh: Pulse) -> None:
    fresh.job(None)
    found = "Colima does not run (last exit: 78: EX_CONFIG)"
    assert fresh.ticks(MISSES) == [f"warning {SILENT}; {found}", to_recover("start Colima", found)]
    assert (fresh.steps(), fresh.mac.calls("limactl")) == ([KICK], [])


# What is left alone


@pytest.mark.parametrize("how", ["unloaded", "disabled"])
def test_a_job_that_was_stopped_on_purpose_stays_so(pulse: Pulse, how: str) -> None:
    if how == "unloaded":
        pulse.job(None, status=113)
    else:
        pulse.disable()
    (said,) = pulse.ticks(6)
    assert said.startswith(f"warning {SILENT}; the job {LABEL} is ")
    assert said.endswith("; the pulse leaves it alone")
    assert (pulse.steps(), pulse.mac.calls("limactl")) == ([], [])
    assert pulse.observed().state == "left alone"
    pulse.answers()
    assert pulse.tick() == ["info Docker answers again after 180 s"]


@pytest.mark.parametrize("what", ["print-status", "disabled-status"])
def test_without_launchds_answer_nothing_is_done(pulse: Pulse, what: str) -> None:
    pulse.put(**{what: "112"})
    (said,) = pulse.ticks(MISSES + 2)
    assert said.startswith("error ")
    assert said.endswith("cannot be read; nothing is done")
    assert (pulse.steps(), pulse.mac.calls("limactl")) == ([], [])


def test_a_job_that_launchd_is_ending_is_left_alone(pulse: Pulse) -> None:
    pulse.job(312, state="SIGTERMed")
    assert (pulse.ticks(5), pulse.steps()) == ([], [])


def test_a_start_is_left_alone_for_its_time(fresh: Pulse) -> None:
    fresh.log.write_text(STARTED + STARTING)
    fresh.put(process="00:30 /opt/homebrew/bin/colima start")
    fresh.lima("")
    assert fresh.ticks(MISSES + 2) == [f"info {SILENT}; Colima is still starting"]
    fresh.put(process="05:00 /opt/homebrew/bin/colima start")
    assert fresh.steps() == []
    assert GONE in fresh.tick()[0]
    assert fresh.steps() == [TERM]


def test_a_first_start_takes_as_long_as_it_takes(fresh: Pulse) -> None:
    fresh.provisioned.unlink()
    fresh.lima("")
    assert fresh.ticks(MISSES + 2) == [f"info {SILENT}; the profile has not come up yet: run deploy.py"]
    assert fresh.steps() == []


def test_a_process_under_which_docker_has_answered_does_not_start(pulse: Pulse) -> None:
    """Though the log was cut meanwhile, and tells of no start."""
    pulse.log.write_text("")
    pulse.put(process="00:30 /opt/homebrew/bin/colima start", kill=pulse.respawns)
    pulse.lima("")
    pulse.ticks(MISSES)
    assert pulse.steps() == [TERM, KICK]


def test_what_another_does_with_the_lock_is_left_alone_until_it_ends(pulse: Pulse) -> None:
    """However it ends: the lock is the kernel's, and what began counts from then on."""
    pulse.lima("")
    pulse.put(kill=pulse.respawns)
    with pulse.locked():
        assert pulse.ticks(5) == []
        assert (pulse.steps(), pulse.mac.calls("limactl"), pulse.state["misses"]) == ([], [], "0")
        assert (pulse.directory / "lock").read_text() == "start (pid 77)\n"
    pulse.ticks(MISSES - 1)
    assert pulse.steps() == []
    pulse.tick()
    assert pulse.steps() == [TERM, KICK]


LOCK = """perl -e 'use Fcntl ":flock"; open my $lock, ">>", "{lock}"; exit !flock $lock, LOCK_EX | LOCK_NB'"""


def test_it_holds_the_lock_while_it_acts_and_not_while_it_waits(pulse: Pulse) -> None:
    lock = LOCK.format(lock=pulse.directory / "lock")
    at = f"'{pulse.world}/locked'"
    note = f"if {lock}; then echo free >>{at}; else cat '{pulse.directory}/lock' >>{at}; fi"
    pulse.lima(body=note)
    pulse.put(kill=f"{note}; {pulse.respawns}")
    pulse.silent(f"[ ! -e {at} ] || ({note}); printf 000; exit 7")
    pulse.ticks(MISSES)
    locked, *rest = re.sub(r"\(pid \d+\)", "", (pulse.world / "locked").read_text()).split("\n")
    assert locked == "pulse "
    assert rest[-2] == "free"


def test_a_deploy_that_comes_while_a_start_is_awaited_is_left_alone(pulse: Pulse) -> None:
    pulse.lima("")
    pulse.put(kill=pulse.respawns)
    pulse.put(
        kickstart=f"""perl -e 'use Fcntl ":flock"; open my $lock, ">>", "{pulse.directory}/lock";
        close STDOUT; close STDERR; unless (fork) {{
            for (1 .. 100) {{ last if flock $lock, LOCK_EX | LOCK_NB; select undef, undef, undef, 0.05 }}
            sleep 4 }}' """
    )
    before = pulse.uptime
    pulse.ticks(MISSES)
    assert pulse.steps() == [TERM, KICK]
    assert pulse.uptime - before < 30 * MISSES + 60


@pytest.mark.parametrize(
    "meanwhile",
    [
        "echo 113 >'{world}/print-status'",
        "echo 'printf 200' >'{world}/ping'",
        "sed -i 's/pid = 312/pid = 313/' '{world}/print'",
    ],
)
def test_before_a_step_it_looks_once_more(pulse: Pulse, meanwhile: str) -> None:
    """While limactl took its time, somebody has stepped in, or Docker answers."""
    pulse.lima(body=meanwhile.format(world=pulse.world))
    (said,) = pulse.ticks(MISSES)
    assert GONE in said
    assert pulse.steps() == []


# One step after another


def test_a_step_that_did_not_help_is_followed_by_the_next_larger_one(pulse: Pulse) -> None:
    pulse.guest("failed")
    before = pulse.uptime
    pulse.ticks(MISSES)
    assert (pulse.restarts, pulse.steps()) == (1, [])
    assert pulse.uptime - before >= 30 * MISSES + 60, "it has its minute"
    assert pulse.observed().state == "backing off"
    first, second = pulse.tick(10, edits={"STOP_SECONDS=240": "STOP_SECONDS=20"})
    assert first == to_recover(
        "stop Colima gracefully and start it again", "in the guest docker is failed", 120
    )
    assert (second, pulse.steps()) == ("error Colima has not ended within 20 s", [TERM])
    pulse.forget_calls()
    pulse.put(kill=pulse.respawns)
    (said,) = pulse.tick(130)
    assert said.startswith("warning to recover: kill Colima and its VM and start them again (")
    assert pulse.steps() == [KILL, KICK]
    pulse.answers()
    assert pulse.tick()[0].startswith("info Docker answers again after ")
    pulse.silent()
    pulse.ticks(MISSES)
    assert pulse.restarts == 2, "the next time begins anew"


def steps_over(pulse: Pulse, seconds: int, every: int) -> list[tuple[int, str]]:
    """Let time pass: what was said of steps, and how many seconds after the first tick with one."""
    found: list[tuple[int, str]] = []
    first = None
    end = pulse.uptime + seconds
    while (begins := pulse.uptime + every) < end:
        for line in pulse.tick(every):
            level, _, text = line.partition(" ")
            if "the next step not within" in text or level == "error":
                first = begins if first is None else first
                found.append((begins - first, text.partition(" (")[0].partition(":")[0]))
    return found


def test_a_start_that_always_fails_is_kicked_ever_more_rarely_and_then_left(fresh: Pulse) -> None:
    fresh.job(None)
    fresh.log.write_text(FATAL)
    said = steps_over(fresh, 11000, every=60)
    assert [text for _, text in said] == ["to recover"] * 7 + ["gives up"]
    # A tick awaits what it has done for as long as a start may take, and the next comes a minute later.
    gaps = [after - before for (before, _), (after, _) in pairwise(said)]
    assert gaps == [60 + 60, 120 + 60, 240 + 60, 480, 960, 1920, 3600]
    assert fresh.steps() == [KICK] * 7
    assert "error starting docker: exit status 1" in fresh.state["last"]
    assert "deploys/recover.py, or deploys/diagnose.py" in fresh.state["last"]


@pytest.mark.parametrize(
    ("before", "after", "runs", "again"),
    [
        (312, 500, 5, True),
        (312, 312, 4, False),
        (None, 500, 5, False),
        (None, 500, 1, True),
        (312, None, 4, False),
    ],
)
def test_when_it_has_given_up_it_waits_for_a_start_by_another_hand(
    pulse: Pulse, before: int | None, after: int | None, runs: int, again: bool
) -> None:
    pulse.job(before, runs=4)
    pulse.guest("failed")
    pulse.ticks(MISSES)
    pulse.note("delay=60", "delay=3600")
    assert pulse.tick(90)[0].startswith("error gives up: ")
    assert pulse.observed().state == "gave up"
    pulse.forget_calls()
    pulse.job(after, runs=runs)
    pulse.ticks(2)
    assert (pulse.state["gave_up"], pulse.mac.calls("limactl") != []) == ("" if again else "yes", again)
    pulse.answers()
    assert pulse.tick()[-1:] == [] or pulse.state["gave_up"] == ""


def test_what_goes_wrong_is_said(fresh: Pulse) -> None:
    fresh.job(None)
    fresh.put(kickstart="echo 'Domain is tearing down' >&2; exit 124")
    said = fresh.ticks(MISSES)[-1]
    assert said == f"error launchctl kickstart system/{LABEL}: 124: Domain is tearing down "[:-1]


def test_the_clock_may_jump(pulse: Pulse) -> None:
    """The kernel moves its boot time with it."""
    pulse.guest("failed")
    pulse.ticks(MISSES)
    path = pulse.directory / "state"
    path.write_text(re.sub(r"not_before=\d+", f"not_before={pulse.uptime + 100}", path.read_text()))
    now = pulse.uptime + BOOT + 86400
    pulse.put(boottime=f"{{ sec = {BOOT + 86400}, usec = 42 }} Mon Jun 16 15:06:40 2025", now=str(now))
    assert pulse.tick(30) == []
    assert (pulse.restarts, pulse.steps()) == (1, [])


def test_a_state_that_is_none_is_forgotten(pulse: Pulse) -> None:
    pulse.ticks(2)
    path = pulse.directory / "state"
    whole = path.read_text()
    for text in (
        "",
        whole.removesuffix("end\n"),
        whole.replace("misses=2", "misses=02"),
        whole.replace("misses=2", "misses=2; touch x"),
        whole.replace("step=", "step=$(touch x)"),
        whole.replace("at=", "PATH=", 1),
        whole.replace("since=", "since=9999999999"),
        f"home=relative\n{whole}",
    ):
        path.write_text(text)
        assert pulse.tick() == []
        assert pulse.state["misses"] == "1", text
    assert not list(pulse.mac.root.glob("**/x"))


# The boot report


def booted(pulse: Pulse) -> Pulse:
    pulse.uptime = 20
    assert pulse.ticks(2) == []
    return pulse


def test_a_boot_is_reported_once(fresh: Pulse) -> None:
    booted(fresh).answers()
    printed = fresh.printed(14)
    fresh.own_log.write_text("\xff\n|end\n" + "".join(f"{line}\n" for line in printed))
    assert 'level=info msg="ready 94 s after boot; console: nobody; containers: 2 of 3 run"' in printed[0]
    assert fresh.ticks(3) == []
    (report,) = fresh.observed().reports
    assert (report.seconds, report.console, report.running, report.total) == (94, None, 2, 3)


def test_who_is_at_the_console_and_containers_that_docker_does_not_tell(fresh: Pulse) -> None:
    booted(fresh).put(console="alice", inspected="")
    fresh.answers()
    assert fresh.tick(14) == ["info ready 94 s after boot; console: alice; containers: ? of ? run"]


def test_what_did_not_come_back_is_named(fresh: Pulse) -> None:
    """Of what installers made, but for what was to end and did well."""
    ended: dict[str, Any] = {"Status": "exited", "ExitCode": 0}
    booted(fresh).docker(
        container(1, "web", SPEC),
        container(2, "db", SPEC, **ended),
        container(3, "job", SPEC, attached=True, **ended),
        container(4, "failed", SPEC, attached=True, Status="exited", ExitCode=1),
        container(5, "never", SPEC, attached=True, Status="created"),
        container(6, "again", SPEC, Status="restarting", ExitCode=1),
        container(7, "by-hand", **ended),
    )
    fresh.answers()
    said = "containers: 1 of 7 run; not back: db, failed, never, again"
    assert fresh.tick(14) == [f"info ready 94 s after boot; console: nobody; {said}"]


def test_names_that_are_none_reach_no_log(fresh: Pulse) -> None:
    """Behind the user's socket may be anything."""
    odd = container(1, "a\\x1b]52;c\x07; not back: b", SPEC, Status="exited")
    long = [container(number, f"{number}" * 500, SPEC, Status="dead") for number in range(2, 30)]
    booted(fresh).docker(odd, *long)
    inspected = fresh.world / "inspected"
    inspected.write_text(inspected.read_text().replace("\\u0007", "\x07"))
    fresh.answers()
    (said,) = fresh.tick(14)
    assert "; containers: 0 of 29 run; not back: a?" in said
    assert said.endswith(", 19 more")
    assert set(said.partition("not back: ")[2]) <= {*ascii_letters, *digits, *"?, -"}


def test_what_it_says_is_text(pulse: Pulse) -> None:
    pulse.silent(r"printf 'curl: \033]52;c;x\007b\344d\n000'; exit 7")
    assert "curl: ?]52;c;x?b?d" in pulse.ticks(3)[0]


def test_a_boot_that_did_not_empty_var_run_is_a_boot(pulse: Pulse) -> None:
    booted(pulse).answers()
    assert pulse.tick()[0].startswith("info ready 110 s after boot; ")


# The logs


def old(path: Path, number: int) -> str:
    return gzip.decompress(path.with_name(f"{path.name}.{number}.gz").read_bytes()).decode()


def test_a_log_that_is_too_large_is_cut_in_place(pulse: Pulse) -> None:
    pulse.answers()
    pulse.log.write_text("")
    pulse.own_log.write_text("x" * 1_000_001)
    writer = os.open(pulse.log, os.O_WRONLY | os.O_APPEND)
    inode = pulse.log.stat().st_ino
    for number in range(3):
        os.write(writer, f"{number}\n".encode() * 600_000)
        assert pulse.tick() == []
        os.write(writer, b"after\n")
        assert pulse.log.read_text() == "after\n", "the writer goes on in the live file"
    os.close(writer)
    assert pulse.log.stat().st_ino == inode
    assert [old(pulse.log, number) for number in (1, 2)] == [
        f"after\n{n}\n" + f"{n}\n" * 599_999 for n in (2, 1)
    ]
    assert (pulse.own_log.read_text(), old(pulse.own_log, 1)) == ("", "x" * 1_000_001)
    assert sorted(path.name for path in pulse.log.parent.glob("*.gz")) == [
        *("colima.log.1.gz", "colima.log.2.gz"),
        f"{LABEL}.log.1.gz",
    ]


def test_fewer_are_kept_when_fewer_are_asked_for(fresh: Pulse) -> None:
    for number in range(1, 6):
        fresh.log.with_name(f"colima.log.{number}.gz").write_bytes(gzip.compress(b"old"))
    fresh.log.write_text("x" * 1_000_001)
    fresh.configure(log_keep=1)
    fresh.tick()
    assert [path.name for path in fresh.log.parent.glob("*.gz")] == ["colima.log.1.gz"]
    assert old(fresh.log, 1) == "x" * 1_000_001


def test_a_copy_that_fails_costs_nothing_and_is_said_once(pulse: Pulse) -> None:
    for number in (1, 2):
        pulse.log.with_name(f"colima.log.{number}.gz").write_bytes(gzip.compress(b"%d" % number))
    pulse.log.write_text("x" * 1_000_001)
    pulse.mac.tool("/usr/bin/gzip", "echo 'gzip: No space left on device' >&2; exit 1")
    pulse.answers()
    assert pulse.ticks(3) == [f"error {pulse.log} cannot be kept below 1 MB: gzip: No space left on device"]
    assert (pulse.log.stat().st_size, old(pulse.log, 2)) == (1_000_001, "1"), "it is pushed up once"


def test_a_log_that_is_a_link_is_left_alone(pulse: Pulse) -> None:
    target = pulse.mac.root / "secret"
    target.write_text("x" * 1_000_001)
    pulse.log.unlink()
    pulse.log.symlink_to(target)
    pulse.answers()
    assert pulse.ticks(3) == [f"error {pulse.log} cannot be kept below 1 MB: it is no regular file"]
    assert (target.stat().st_size, pulse.mac.calls("chown")) == (1_000_001, [])


@pytest.mark.parametrize("mode", ["Directory:501:alice:755", "Directory:0:root:1777"])
def test_where_another_than_root_can_write_it_is_left_alone(pulse: Pulse, mode: str) -> None:
    """Who can swap a directory has root write, and give away, whatever the name leads to then."""
    pulse.put(mode=mode)
    pulse.log.write_text("x" * 1_000_001)
    pulse.answers()
    (error,) = pulse.ticks(3)
    assert error.startswith(f"error {pulse.log} cannot be kept below 1 MB: / ")
    assert pulse.log.stat().st_size == 1_000_001
    pulse.log.unlink()
    pulse.ticks(2)
    assert (pulse.log.exists(), pulse.mac.calls("chown")) == (False, [])


def test_a_log_that_was_deleted_is_made_again(pulse: Pulse) -> None:
    pulse.answers()
    pulse.log.unlink()
    assert pulse.tick() == []
    assert (pulse.log.read_text(), oct(pulse.log.stat().st_mode)[-3:]) == ("", "644")
    assert pulse.mac.calls("chown")[0][:2] == ["-h", "alice"]
    assert sorted(path.name for path in pulse.log.parent.iterdir()) == ["colima.log", pulse.own_log.name]


def test_it_ends_at_once_when_launchd_ends_it(fresh: Pulse) -> None:
    fresh.mac.tool("/usr/bin/curl", "exec sleep 300")
    process = fresh.mac.popen("-c", fresh.mac.text("daemons/pulse"), "pulse", LABEL)
    until(lambda: fresh.mac.calls("curl"))
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(2) == -signal.SIGTERM
    process.communicate()


def test_what_is_observed(fresh: Pulse) -> None:
    fresh.own_log.unlink()
    assert fresh.observed() == PulseState("not looked yet")
    fresh.own_log.touch()
    fresh.answers()
    fresh.tick()
    assert fresh.observed().state == "well"
    fresh.silent()
    fresh.guest("failed")
    fresh.tick()
    assert (fresh.observed().state, fresh.observed().misses) == ("missing", 1)
    fresh.ticks(2)
    found = fresh.observed()
    assert (found.state, found.step) == ("backing off", "docker")
    assert found.reason is not None
    assert found.reason.startswith("to recover: restart Docker in the guest (in the guest docker is failed)")
