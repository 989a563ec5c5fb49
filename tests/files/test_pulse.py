"""The pulse, tick by tick: what it looks at, what it does, what it logs; with a clock that the test moves."""

from __future__ import annotations

import gzip
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from string import ascii_letters, digits
from typing import Any

import pytest

from facts.pulse import Maintenance, PulseState
from facts.pulse import Pulse as PulseFact
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

    def tick(self, seconds: int = 30, edits: Mapping[str, str] | None = None) -> list[str]:
        """Let so many seconds pass, and the pulse tick; what it says, each "LEVEL TEXT"."""
        self.uptime += seconds
        moved = {"/var/log/$label.log": f"{self.own_log.parent}/$label.log"}
        done = self.mac.run("daemons/pulse", LABEL, edits=moved | dict(edits or {}))
        assert (done.returncode, done.stderr) == (0, "")
        with self.own_log.open("a") as log:
            log.write(done.stdout)
        said = [LINE.fullmatch(line) for line in done.stdout.splitlines()]
        return [f"{match[1]} {match[2]}" for match in said if match]

    def ticks(self, number: int) -> list[str]:
        return [line for _ in range(number) for line in self.tick()]

    def done(self) -> tuple[list[str], int, bool]:
        """launchctl's verbs, the restarts of Docker in the guest, and whether Lima was asked."""
        return self.steps(), self.restarts, self.mac.calls("limactl") != []

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
    assert pulse.mac.calls("sudo")[1][:5] == ["-n", "-H", "-u", "alice", pulse.mac.path("/usr/bin/curl")]
    assert len(pulse.mac.calls("stat")) == 2
    assert (pulse.directory / "state").stat().st_mtime_ns == before
    assert pulse.observed().state == "well"


def test_since_when_the_log_tells(pulse: Pulse) -> None:
    """It says nothing while all is well."""
    pulse.put(born="1795350000")
    pulse.own_log.write_text("x" * 65536)
    assert pulse.observed().since == "2026-11-22T12:20:00Z"
    pulse.own_log.write_text("x" * 65537)
    assert pulse.observed().since is None
    pulse.own_log.write_text("")
    pulse.own_log.with_name(f"{LABEL}.log.1.gz").touch()
    assert pulse.observed().since is None


def test_a_few_misses_are_noted_and_no_more(pulse: Pulse) -> None:
    assert pulse.ticks(MISSES - 1) == []
    assert (pulse.observed().state, pulse.observed().misses) == ("missing", MISSES - 1)
    pulse.answers()
    assert pulse.ticks(2) == []
    assert (pulse.state["misses"], pulse.done()) == ("0", ([], 0, False))


def test_a_vm_that_is_gone(pulse: Pulse) -> None:
    """And a cut log, that tells of no start: under this process Docker has answered."""
    pulse.lima("")
    pulse.log.write_text("")
    pulse.put(process="00:30 /opt/homebrew/bin/colima start", kill=pulse.respawns)
    step = to_recover("stop Colima gracefully and start it again", GONE)
    assert pulse.ticks(MISSES) == [f"warning {SILENT}; {GONE}", step]
    assert pulse.steps() == [TERM, KICK]


def test_a_step_that_helps_is_seen_in_the_same_tick(pulse: Pulse) -> None:
    """What fails right after it is other trouble: the back-off of this one has ended."""
    pulse.guest("failed", heals=True)
    step = to_recover("restart Docker in the guest", "in the guest docker is failed")
    assert pulse.ticks(MISSES)[1:] == [step, "info Docker answers again after 60 s"]
    assert pulse.done()[:2] == ([], 1)
    assert [pulse.state[key] for key in ("misses", "delay", "not_before", "step")] == ["0", "0", "0", ""]
    events = [(each.kind, each.text, each.seconds) for each in pulse.observed().events]
    assert events == [
        ("silent", f"{SILENT}; in the guest docker is failed", None),
        ("step", "restart Docker in the guest (in the guest docker is failed)", None),
        ("back", "Docker answers again", 60),
    ]
    pulse.silent()
    assert pulse.ticks(MISSES)[1] == step


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (
            lambda pulse: pulse.job(None, status=113),
            f"warning * the job {LABEL} is not loaded*it alone",
        ),
        (lambda pulse: pulse.disable(), f"warning * the job {LABEL} is disabled*; the pulse leaves it alone"),
        (lambda pulse: pulse.put(**{"print-status": "112"}), "error * be read; nothing is done"),
        (
            lambda pulse: pulse.put(**{"print-disabled-status": "112"}),
            "error * be read; nothing is done",
        ),
        (lambda pulse: pulse.job(312, state="SIGTERMed"), None),
        (lambda pulse: pulse.provisioned.unlink(), f"info {SILENT}; the profile has not come up yet: run *"),
    ],
)
def test_what_is_left_alone(pulse: Pulse, trouble: Callable[[Pulse], None], said: str | None) -> None:
    trouble(pulse)
    lines = pulse.ticks(MISSES + 2)
    assert [fnmatch(line, said or "") for line in lines] == [True] * (said is not None)
    kind = "left alone" if said and said.endswith("it alone") else "silent"
    assert [each.kind for each in pulse.observed().events] == [kind] * (said is not None)
    assert pulse.done() == ([], 0, False)
    pulse.answers()
    assert pulse.tick() == ["info Docker answers again after 150 s"] * len(lines)


def test_a_start_is_left_alone_for_its_time(fresh: Pulse) -> None:
    fresh.log.write_text(STARTED + STARTING)
    fresh.put(process="00:30 /opt/homebrew/bin/colima start")
    fresh.lima("")
    assert fresh.ticks(MISSES + 2) == [f"info {SILENT}; Colima is still starting"]
    assert fresh.steps() == []
    fresh.put(process="05:00 /opt/homebrew/bin/colima start", kill=fresh.respawns)
    assert GONE in fresh.tick()[0]
    assert fresh.steps() == [TERM, KICK]


def test_what_another_does_with_the_lock_is_left_alone_until_it_ends(pulse: Pulse) -> None:
    """What began counts from then on. The pulse holds the lock while it acts, and not while it waits."""
    at = f"'{pulse.world}/locked'"
    lock = f"'{pulse.directory}/lock'"
    note = f"""perl -e 'use Fcntl ":flock"; open my $lock, "<", shift;
        print flock($lock, LOCK_EX | LOCK_NB) ? "free" : substr(<$lock>, 0, 5), "\\n"' {lock} >>{at}"""
    pulse.lima(body=note)
    pulse.put(kill=f"{note}; {pulse.respawns}")
    with pulse.locked():
        assert pulse.ticks(5) == []
        assert (pulse.done(), pulse.state["misses"]) == (([], 0, False), "0")
        assert (pulse.directory / "lock").read_text() == "start (pid 77)\n"
    pulse.ticks(MISSES - 1)
    assert pulse.steps() == []
    pulse.silent(f"[ ! -e {at} ] || ({note}); printf 000; exit 7")
    pulse.tick()
    assert pulse.steps() == [TERM, KICK]
    first, *_, last = (pulse.world / "locked").read_text().split()
    assert (first, last) == ("pulse", "free")


def test_a_user_who_stops_its_question_does_not_keep_the_lock(pulse: Pulse) -> None:
    asked = f"'{pulse.world}/asked'"
    pulse.lima(body=f": >{asked}")
    pulse.put(kill=pulse.respawns)
    pulse.silent(f"if [ -e {asked} ]; then rm {asked}; kill -STOP $$; fi; printf 000; exit 7")
    for _ in range(MISSES):
        pulse.tick(edits={"bounded 20 || !": "bounded 1 || !", "alarm 5": "alarm 1"})
    assert pulse.steps() == [TERM, KICK]


def test_a_deploy_that_comes_while_a_start_is_awaited_is_left_alone(pulse: Pulse) -> None:
    pulse.lima("")
    pulse.put(kill=pulse.respawns)
    pulse.put(
        kickstart=f"""perl -e 'use Fcntl ":flock"; open my $lock, ">>", "{pulse.directory}/lock";
        close STDOUT; close STDERR; unless (fork) {{
            for (1 .. 100) {{ last if flock $lock, LOCK_EX | LOCK_NB; select undef, undef, undef, 0.02 }}
            sleep 4 }}' """
    )
    pulse.put(ping="( sleep 0.05; printf 000; exit 7 )")
    before = pulse.uptime
    pulse.ticks(MISSES)
    assert pulse.steps() == [TERM, KICK]
    assert pulse.uptime - before < 30 * MISSES + 60


@pytest.mark.parametrize(
    "meanwhile",
    [
        "echo 113 >'{world}/print-status'",
        "echo 'printf 200' >'{world}/ping'",
        "perl -pi -e 's/pid = 312/pid = 313/' '{world}/print'",
    ],
)
def test_before_a_step_it_looks_once_more(pulse: Pulse, meanwhile: str) -> None:
    """While limactl took its time, somebody has stepped in, or Docker answers."""
    pulse.lima(body=meanwhile.format(world=pulse.world))
    (said,) = pulse.ticks(MISSES)
    assert GONE in said
    assert pulse.steps() == []


def test_a_step_that_did_not_help_is_followed_by_the_next_larger_one(pulse: Pulse) -> None:
    """After its time; then they are given up, until Docker answers."""
    pulse.guest("failed")
    before = pulse.uptime
    pulse.ticks(MISSES)
    assert pulse.done()[:2] == ([], 1)
    assert pulse.uptime - before >= 30 * MISSES + 60, "it has its minute"
    found = pulse.observed()
    assert (found.state, found.step) == ("backing off", "docker")
    assert found.reason is not None
    assert found.reason.startswith("to recover: restart Docker in the guest (in the guest docker is failed)")
    job = to_recover("stop Colima gracefully and start it again", "in the guest docker is failed", 120)
    edits = {"STOP_SECONDS=240": "STOP_SECONDS=40"}
    assert pulse.tick(10, edits) == [job, "error Colima has not ended within 40 s"]
    assert pulse.steps() == [TERM]
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
    now, boot = pulse.uptime, BOOT + 86400
    pulse.put(boottime=f"{{ sec = {boot}, usec = 42 }} Mon Jun 16 15:06:40 2025", now=str(now + boot))
    pulse.note("delay=60", "delay=120")
    path = pulse.directory / "state"
    path.write_text(re.sub(r"not_before=\d+", f"not_before={now + 100}", path.read_text()))
    assert pulse.tick() == [], "the clock jumped, and the kernel's boot time with it"


def test_a_start_that_always_fails_is_kicked_ever_more_rarely_and_then_left(fresh: Pulse) -> None:
    fresh.job(None)
    fresh.log.write_text(FATAL)
    fresh.put(kickstart="echo 'Domain is tearing down' >&2; exit 124")
    said: list[tuple[int, str]] = []
    while not fresh.own_log.read_text().count("gives up"):
        said += [(fresh.uptime, line) for line in fresh.tick(60, edits={"DELAY_LAST=3600": "DELAY_LAST=400"})]
    found = "Colima does not run (last exit: 78: EX_CONFIG)"
    refused = f"error launchctl kickstart system/{LABEL}: 124: Domain is tearing down"
    steps = [to_recover("start Colima", found, seconds) for seconds in (60, 120, 240, 400)]
    assert [line for _, line in said[:-1]] == [
        f"warning {SILENT}; {found}",
        *[line for step in steps for line in (step, refused)],
    ]
    at = [seconds for seconds, line in said if "start Colima" in line] + [said[-1][0]]
    assert [after - before for before, after in pairwise(at)] == [60, 120, 240, 420]
    assert fresh.steps() == [KICK] * 4
    assert "error starting docker: exit status 1" in fresh.state["last"]
    assert "deploys/recover.py, or deploys/diagnose.py" in fresh.state["last"]


@pytest.mark.parametrize(
    ("before", "after", "runs", "again"),
    [(312, 500, 5, True), (312, 312, 4, False), (None, 500, 5, False), (None, 500, 1, True)],
)
def test_when_it_has_given_up_it_waits_for_a_start_by_another_hand(
    pulse: Pulse, before: int | None, after: int | None, runs: int, again: bool
) -> None:
    pulse.job(before, runs=4)
    pulse.guest("failed")
    pulse.ticks(2)
    for note in ("misses=2", "misses=9"), ("delay=0", "delay=3600"), ("step=", "step=docker"):
        pulse.note(*note)
    assert pulse.tick()[-1].startswith("error gives up: ")
    assert pulse.observed().state == "gave up"
    assert pulse.observed().events[-1].kind == "gave up"
    pulse.forget_calls()
    pulse.job(after, runs=runs)
    pulse.tick()
    assert (pulse.state["gave_up"], pulse.done()[2]) == ("" if again else "yes", again)


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
    ):
        path.write_text(text)
        assert pulse.tick() == []
        assert pulse.state["misses"] == "1", text
    assert not list(pulse.mac.root.glob("**/x"))


# The boot report


def booted(pulse: Pulse) -> Pulse:
    pulse.uptime = 20
    assert pulse.ticks(2) == []
    pulse.answers()
    return pulse


def test_a_boot_is_reported_once(pulse: Pulse) -> None:
    """Though /var/run was not emptied by it."""
    booted(pulse)
    pulse.own_log.write_bytes(b"\xff\n|end\n")
    assert pulse.tick(14) == ["info ready 94 s after boot; console: nobody; containers: 2 of 3 run"]
    assert pulse.ticks(3) == []
    (report,) = pulse.observed().reports
    assert (report.seconds, report.console, report.running, report.total) == (94, None, 2, 3)


def test_who_is_at_the_console_and_containers_that_docker_does_not_tell(fresh: Pulse) -> None:
    booted(fresh).put(console="alice", inspected="")
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
    said = "containers: 1 of 7 run; not back: db, failed, never, again"
    assert fresh.tick(14) == [f"info ready 94 s after boot; console: nobody; {said}"]


def test_what_docker_says_reaches_no_terminal(fresh: Pulse) -> None:
    """Behind the user's socket may be anything."""
    fresh.silent(r"printf 'curl: \033]52;c;x\007b\344d\n000'; exit 7")
    assert "curl: ?]52;c;x?b?d" in fresh.ticks(3)[0]
    odd = container(1, "a\\x1b]52;c\x07; not back: b", SPEC, Status="exited")
    long = [container(number, f"{number}" * 500, SPEC, Status="dead") for number in range(2, 30)]
    (fresh.directory / "state").unlink()
    booted(fresh).docker(odd, *long)
    inspected = fresh.world / "inspected"
    inspected.write_text(inspected.read_text().replace("\\u0007", "\x07"))
    (said,) = fresh.tick(14)
    assert "; containers: 0 of 29 run; not back: a?" in said
    assert said.endswith(", 19 more")
    assert set(said.partition("not back: ")[2]) <= {*ascii_letters, *digits, *"?, -"}


# Maintenance

DAY = 86400
QUIET, BUSY = "9.00 0.99 9.00 1/143 812\\n2", "0.00 1.00 0.00 1/143 812\\n2"
MIB = 2048  # blocks


class Maintained(Pulse):
    """Its pulse maintains Docker every week; Docker answers, and a prune frees a disk by 3 of 8 MiB."""

    def __init__(self, mac: Mac) -> None:
        super().__init__(mac)
        self.configure(maintain_days=7, maintain_prune="images")
        self.notes = mac.root / f"Library/ColimaPulse/maintained/{LABEL}"
        lima = mac.home / ".colima/_lima"
        for path, mib in (("_disks/colima/datadisk", 8), ("colima/diffdisk", 2)):
            (lima / path).parent.mkdir(parents=True, exist_ok=True)
            (lima / path).write_text(f"{mib * MIB}\n")
        self.trim = f"echo {5 * MIB} >'{lima}/_disks/colima/datadisk'"
        self.guest_has(QUIET)
        self.prune()
        self.answers()

    def guest_has(self, load: str, trim: str | None = None) -> None:
        self.guest(
            body=f"""case $* in
            *fstrim*) {trim or self.trim} ;;
            *loadavg*) printf 'Welcome\\n7\\n{load}\\n' ;;
            esac"""
        )

    def prune(self, body: str = "echo 'Total reclaimed space: 1.2GB'") -> None:
        self.mac.brewed("docker", body)

    @property
    def maintenance(self) -> Maintenance:
        found = self.observed().maintenance
        assert found is not None
        return found

    @property
    def work(self) -> list[str]:
        """What was done in the guest and by Docker, since this was last asked."""
        guest = ["trim" for call in self.mac.calls("limactl") if call[-4:] == ["sudo", "-n", "fstrim", "-a"]]
        guest += ["look" for call in self.mac.calls("limactl") if "loadavg" in call[-1]]
        guest += ["sync" for call in self.mac.calls("limactl") if call[-1] == "sync"]
        docker = [" ".join(call[2:]) for call in self.mac.calls("docker")]
        self.forget_calls()
        return sorted(docker + guest)


PRUNED = ["image prune --force --all", "look", "sync", "trim"]
SAID = "3 MiB given back; the VM's disks take 7 MiB of this Mac; image: 1.2GB reclaimed"


@pytest.fixture
def weekly() -> Iterator[Maintained]:
    """A week from being due."""
    with a_mac("dash") as mac:
        pulse = Maintained(mac)
        assert pulse.ticks(2) == []
        pulse.forget_calls()
        yield pulse


def test_what_is_not_due_costs_a_look_at_the_clock(weekly: Maintained) -> None:
    assert weekly.tick(7 * DAY - 60) == []
    assert {path.name for path in (weekly.mac.root / "calls").iterdir()} == {"curl", "date", "stat", "sudo"}
    weekly.configure(maintain_days=0)
    weekly.forget_calls()
    assert weekly.tick(DAY) == []
    assert {path.name for path in (weekly.mac.root / "calls").iterdir()} == {"curl", "stat", "sudo"}


def test_it_is_maintained_every_week(weekly: Maintained) -> None:
    assert weekly.maintenance == Maintenance(BOOT + 5060)
    (said,) = weekly.tick(7 * DAY)
    assert re.fullmatch(rf"info maintained in \d+ s: {SAID}", said)
    assert weekly.work == PRUNED
    now = BOOT + weekly.uptime
    assert weekly.maintenance == Maintenance(now, 0, 3 << 20)
    weekly.put(boottime=f"{{ sec = {now}, usec = 42 }} Mon")
    assert weekly.tick(3600) == weekly.tick(6 * DAY) == [], "a boot is no reason"
    assert len(weekly.tick(DAY)) == 1


def test_where_nothing_is_to_be_pruned_it_is_trimmed(weekly: Maintained) -> None:
    weekly.configure(maintain_days=7, maintain_prune="none")
    (said,) = weekly.tick(7 * DAY)
    assert said.endswith(SAID.partition("; image")[0])
    assert weekly.work == ["look", "sync", "trim"]


def test_it_waits_for_a_quiet_moment_and_for_a_period_at_most(weekly: Maintained) -> None:
    weekly.guest_has(BUSY)
    assert weekly.tick(7 * DAY) == weekly.tick(3599) == []
    assert weekly.work == ["look"]
    assert weekly.tick(30) == []
    assert weekly.work == ["look"]
    weekly.guest_has(QUIET)
    assert weekly.tick(3570) == []
    assert len(weekly.tick(30)) == 1
    weekly.forget_calls()
    weekly.guest_has(BUSY)
    assert weekly.tick(14 * DAY - 30) == []
    assert len(weekly.tick(3600)) == 1
    assert weekly.work == sorted([*PRUNED, "look"])


def test_it_waits_for_what_another_does_and_for_docker(weekly: Maintained) -> None:
    with weekly.locked():
        assert weekly.tick(7 * DAY) == []
    weekly.silent()
    weekly.tick()
    weekly.answers()
    assert weekly.tick() == []
    assert weekly.work == []
    assert len(weekly.tick()) == 1


def test_nobody_works_on_it_meanwhile(weekly: Maintained) -> None:
    at = f"'{weekly.world}/locked'"
    weekly.prune(f"""head -n 1 '{weekly.directory}/lock' >{at}; perl -e 'use Fcntl ":flock";
        open my $lock, "<", shift; print flock($lock, LOCK_EX | LOCK_NB) ? "free" : "taken"' \
        '{weekly.directory}/lock' >>{at}""")
    weekly.tick(7 * DAY)
    assert re.fullmatch(r"pulse \(pid \d+\)\ntaken", (weekly.world / "locked").read_text())


FAILURES = (
    (r"printf 'no\033[31m\nCannot connect\n' >&2; exit 1", QUIET, None, "no?[31m Cannot connect"),
    ("exec sleep 300", QUIET, None, "docker image prune did not end within 0.3 s"),
    ("", "", None, "the guest does not answer"),
    ("", QUIET, "echo 'denied' >&2; exit 64", "denied the trim in the guest failed (64)"),
    ("", QUIET, "exec sleep 300", "the trim in the guest did not end in time"),
)


def test_what_fails_is_said_and_tried_again_in_a_day(weekly: Maintained) -> None:
    edits = {"PRUNE_SECONDS=330": "PRUNE_SECONDS=0.3", "TRIM_SECONDS=150": "TRIM_SECONDS=0.3"}
    # as_user rounds its seconds down.
    edits |= {"as_user_seconds=${3%%.*}": "as_user_seconds=$3", "$((as_user_seconds + 15))": "15"}
    weekly.uptime += 6 * DAY
    for prune, load, trim, why in FAILURES:
        weekly.prune(prune)
        weekly.guest_has(load, trim)
        assert weekly.tick(DAY, edits) == [f"warning not maintained, tried again in a day: {why}"]
        assert weekly.maintenance.trouble == why
    assert weekly.done()[:2] == ([], 0)
    assert weekly.mac.left() == {}
    weekly.prune()
    weekly.guest_has(QUIET)
    assert weekly.tick(DAY - 60) == []
    assert len(weekly.tick(60)) == 1
    assert weekly.maintenance.trouble is None


def test_one_that_was_cut_off_is_not_repeated_at_once(weekly: Maintained) -> None:
    weekly.uptime += 7 * DAY
    weekly.prune("exec sleep 300")
    process = weekly.mac.popen("-c", weekly.mac.text("daemons/pulse"), "pulse", LABEL)
    until(lambda: weekly.mac.calls("docker"))
    os.killpg(process.pid, signal.SIGKILL)
    weekly.mac.clear()
    process.communicate()
    weekly.prune()
    weekly.forget_calls()
    assert weekly.tick(DAY - 60) == []
    assert weekly.work == []
    assert (weekly.maintenance.seconds, weekly.maintenance.trouble) == (None, "it was cut off")
    assert len(weekly.tick(60)) == 1


def test_a_clock_that_jumps_neither_repeats_it_nor_stops_it(weekly: Maintained) -> None:
    years = 3650 * DAY
    assert len(weekly.tick(years)) == 1
    weekly.uptime -= years
    assert weekly.ticks(3) == weekly.tick(7 * DAY - 120) == []
    note = weekly.notes.read_text()
    before, weekly.uptime = weekly.uptime, 978_307_200 - BOOT
    assert weekly.tick(0) == [], "2001, until the network has set it"
    weekly.uptime = before
    assert weekly.notes.read_text() == note
    weekly.guest_has("")
    assert len(weekly.tick(years)) == 1, "it fails"
    weekly.uptime -= years
    weekly.guest_has(QUIET)
    assert len(weekly.tick(60)) == 1, "what is to be tried in ten years is not waited for"
    assert weekly.ticks(2) == []


def test_a_note_that_is_none_is_made_anew(weekly: Maintained) -> None:
    for text in ("", "x", "0000000000 0000000000", "1touch=x.0 1234567890 - -", f"{BOOT}"):
        weekly.notes.write_text(text)
        assert weekly.tick(7 * DAY) == []
        assert (weekly.work, weekly.maintenance) == ([], Maintenance(BOOT + weekly.uptime)), text
    assert len(weekly.tick(7 * DAY)) == 1


# The logs


def old(path: Path, number: int) -> str:
    return gzip.decompress(path.with_name(f"{path.name}.{number}.gz").read_bytes()).decode()


LARGE = "x" * 1_000_001


def test_a_log_that_is_too_large_is_cut_in_place(pulse: Pulse) -> None:
    """And no more old ones are kept than were asked for."""
    pulse.answers()
    pulse.log.write_text("")
    pulse.own_log.write_text(LARGE)
    pulse.log.with_name("colima.log.3.gz").touch()
    inode = pulse.log.stat().st_ino
    with pulse.log.open("a") as writer:
        for number in range(3):
            writer.write(f"{number}\n" * 600_000)
            writer.flush()
            assert pulse.tick() == []
            writer.write("after\n")
            writer.flush()
            assert pulse.log.read_text() == "after\n", "the writer goes on in the live file"
    assert pulse.log.stat().st_ino == inode
    assert [old(pulse.log, n) for n in (1, 2)] == [f"after\n{n}\n" + f"{n}\n" * 599_999 for n in (2, 1)]
    assert (pulse.own_log.read_text(), old(pulse.own_log, 1)) == ("", LARGE)
    assert len(list(pulse.log.parent.glob("*.gz"))) == 3


def test_a_copy_that_fails_costs_nothing_and_is_said_once(pulse: Pulse) -> None:
    for number in (1, 2):
        pulse.log.with_name(f"colima.log.{number}.gz").write_bytes(gzip.compress(b"%d" % number))
    pulse.log.write_text(LARGE)
    pulse.mac.tool("/usr/bin/gzip", "echo 'gzip: No space left on device' >&2; exit 1")
    pulse.answers()
    assert pulse.ticks(3) == [f"error {pulse.log} cannot be kept below 1 MB: gzip: No space left on device"]
    assert (pulse.log.stat().st_size, old(pulse.log, 2)) == (len(LARGE), "1"), "it is pushed up once"


@pytest.mark.parametrize("where", ["link", "Directory:501:alice:755", "Directory:0:root:1777"])
def test_a_log_that_another_can_swap_is_left_alone(pulse: Pulse, where: str) -> None:
    """Root would write, and give away, whatever the name leads to then."""
    pulse.answers()
    target = pulse.log
    if where == "link":
        target = pulse.log.rename(pulse.mac.root / "secret")
        pulse.log.symlink_to(target)
    else:
        pulse.put(mode=where)
    target.write_text(LARGE)
    (error,) = pulse.ticks(2)
    why = "it is no regular file" if where == "link" else "/ "
    assert error.startswith(f"error {pulse.log} cannot be kept below 1 MB: {why}")
    assert target.stat().st_size == len(LARGE)
    if where != "link":
        pulse.log.unlink()
        pulse.tick()
        assert not pulse.log.exists()
    assert pulse.mac.calls("chown") == []


def test_a_log_that_was_deleted_is_made_again(pulse: Pulse) -> None:
    pulse.answers()
    pulse.log.unlink()
    assert pulse.tick() == []
    assert (pulse.log.read_text(), oct(pulse.log.stat().st_mode)[-3:]) == ("", "644")
    assert pulse.mac.calls("chown")[0][:2] == ["-h", "alice"]
    assert sorted(path.name for path in pulse.log.parent.iterdir()) == ["colima.log", pulse.own_log.name]


def test_it_ends_at_once_when_launchd_ends_it(fresh: Pulse) -> None:
    fresh.own_log.unlink()
    assert fresh.observed() == PulseState("not looked yet")
    fresh.mac.tool("/usr/bin/curl", "exec sleep 300")
    process = fresh.mac.popen("-c", fresh.mac.text("daemons/pulse"), "pulse", LABEL)
    until(lambda: fresh.mac.calls("curl"))
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(2) == -signal.SIGTERM
    fresh.mac.clear()
    process.communicate()
