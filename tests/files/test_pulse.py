"""files/pulse, tick by tick: what it sees, what it runs, what it says; with a clock that the test moves."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from string import ascii_letters, digits
from typing import Any

import pytest

from facts.pulse import Pulse as PulseFact
from facts.pulse import PulseState
from tests.files.conftest import Mac, hostagent, lines, qemu, until
from tests.files.test_observe_docker import VERSION, container, go

RECORDINGS = Path(__file__).parents[1] / "recordings"
LABEL = "com.example.colima"
MISSES = 3
START = 300
STARTED = (RECORDINGS / "colima/foreground.log").read_text().partition('level=info msg="interrupted')[0]
STARTING = STARTED.partition("keeping Colima")[0]
FATAL = (RECORDINGS / "colima/docker-fails.log").read_text()
LINE = re.compile(r'time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=(\w+) msg="(.*)" context=pulse')
BOOT = 1_750_000_000
RUNNING = '{"name":"colima-foo","status":"Stopped"}\n{"name":"colima","status":"Running","dir":"/x"}'
TRIO = (container(1, "a"), container(2, "b"), container(3, "c", Status="exited", ExitCode=1))
SPEC = "5" * 64


class Pulse:
    """The pulse of one Mac: what the world is like, in files that stand-ins read; and its ticks."""

    def __init__(self, mac: Mac) -> None:
        self.mac = mac
        self.world = mac.root / "world"
        self.log = mac.root / "log/colima.log"
        self.own_log = mac.root / f"log/{LABEL}.log"
        self.directory = mac.root / "var/run/colima-pulse" / LABEL
        self.provisioned = mac.home / ".colima/_lima/colima/colima.yaml"
        for directory in (
            *(self.world, self.log.parent, self.directory.parent.parent),
            self.provisioned.parent,
        ):
            directory.mkdir(parents=True)
        self.provisioned.write_text("")
        for path in (self.log, self.own_log):
            path.write_text("")
        mac.become("root")
        mac.link("gzip")
        mac.tool("/usr/sbin/chown", "")
        world = f"'{self.world}'"
        # The clock of the test: a sleep of a second is ten of it, a shorter one a second.
        mac.tool("/bin/date", f'if [ "$1" = +%s ]; then cat {world}/now; else exec date "$@"; fi')
        mac.tool(
            "/bin/sleep",
            f"""read -r now <{world}/now
            case $1 in 1) now=$((now + 10)) ;; *) now=$((now + 1)) ;; esac
            echo "$now" >{world}/now; exec sleep 0.02""",
        )
        mac.tool(
            "/usr/sbin/sysctl",
            f"""case $2 in
            hw.optional.arm64) echo 1 ;;
            kern.boottime) cat {world}/boottime ;;
            esac""",
        )
        mac.tool(
            "/usr/bin/stat",
            f"""format=$2; shift 2
            for path; do
                case $format in
                '%HT %z')
                    type='Regular File'
                    [ -d "$path" ] && type=Directory
                    [ -L "$path" ] && type='Symbolic Link'
                    size=$(stat -c %s "$path") || exit 1
                    echo "$type $size" ;;
                '%Su') cat {world}/console ;;
                '%HT %l %Su') [ -f "$path" ] && echo "Regular File $(stat -c %h "$path") alice" ;;
                '%HT:%u:%Su:%Lp')
                    case $path in '{mac.home}') echo Directory:501:alice:700 ;; *) cat {world}/mode ;; esac ;;
                esac
            done""",
        )
        mac.tool(
            "/usr/bin/curl",
            f"""case "$*" in
            *all=1*) cat {world}/listed ;;
            *_ping*) . {world}/ping ;;
            */containers/*) cat {world}/inspected ;;
            esac""",
        )
        mac.tool(
            "/bin/launchctl",
            f"""case $1 in
            print) cat {world}/print; exit "$(cat {world}/print-status)" ;;
            print-disabled) cat {world}/disabled; exit "$(cat {world}/disabled-status)" ;;
            kill) . {world}/kill ;;
            kickstart) . {world}/kickstart ;;
            esac""",
        )
        mac.brewed("limactl", f". {world}/limactl-$1")
        self.uptime = 5000
        self.put(
            boottime=f"{{ sec = {BOOT}, usec = 42 }} Sun Jun 15 15:06:40 2025",
            mode="Directory:0:root:755",
            console="root",
            disabled=(RECORDINGS / "launchctl/print-disabled-macos13.txt").read_text(),
            kill="",
            kickstart="",
        )
        self.put(**{"disabled-status": "0"})
        self.silent()
        self.docker(*TRIO)
        self.job(pid=312)
        self.lima(RUNNING)
        self.guest()

    def put(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.world / name).write_text(f"{text}\n")

    @property
    def uptime(self) -> int:
        return int((self.world / "now").read_text()) - BOOT

    @uptime.setter
    def uptime(self, seconds: int) -> None:
        (self.world / "now").write_text(f"{BOOT + seconds}\n")

    def docker(self, *containers: dict[str, Any]) -> None:
        """What Docker's API says of these containers."""
        listed = [{"Id": each["Id"], "Names": [each["Name"]]} for each in containers]
        asked = ("OK", go(VERSION), go(listed))
        self.put(
            listed="".join(f"{each}\n200\n" for each in asked),
            inspected="".join(f"{go(each)}\n200\n" for each in containers),
        )

    def answers(self) -> None:
        self.put(ping="printf 200")

    def silent(self, body: str = "printf 'curl: (7) Failed to connect\\n000'; exit 7") -> None:
        self.put(ping=body)

    def job(self, pid: int | None, *, state: str = "running", runs: int = 1, status: int = 0) -> None:
        """What launchctl prints of the job, in the words of macOS 14."""
        text = (RECORDINGS / "launchctl/running-macos14.txt").read_text()
        if pid is None:
            text = (RECORDINGS / "launchctl/spawn-scheduled-macos26.txt").read_text()
            text = text.replace("sh.billet.capture", LABEL)
        text = text.replace("otelcol-sumo", LABEL).replace("pid = 54109", f"pid = {pid}")
        text = text.replace("state = running", f"state = {state}").replace("runs = 1", f"runs = {runs}")
        if status == 113:
            text = f'Bad request.\nCould not find service "{LABEL}" in domain for system'
        self.put(print=text.rstrip("\n"))
        self.put(**{"print-status": str(status)})

    def lima(self, said: str = "", body: str = "") -> None:
        self.put(**{"limactl-list": body or f"printf '%s\\n' '{said}'"})

    def guest(
        self, docker: str = "active", containerd: str = "active", body: str = "", *, heals: bool = False
    ) -> None:
        """What the guest's systemd says; and a restart of Docker there is noted, and `heals` it."""
        said = f"echo Welcome; printf 'answers=yes\\ndocker={docker}\\ncontainerd={containerd}\\n'"
        restart = f"echo restart >>'{self.world}/restarts'"
        if heals:
            restart += f"; echo 'printf 200' >'{self.world}/ping'"
        restarts = f"case $* in *'restart docker'*) {restart} ;; *) {said} ;; esac"
        self.put(**{"limactl-shell": body or restarts})

    def printed(
        self,
        seconds: int = 30,
        edits: Mapping[str, str] | None = None,
        log: Path | None = None,
        keep: int = 2,
    ) -> list[str]:
        """Let so many seconds pass, and the pulse tick; the lines that it prints."""
        self.uptime += seconds
        moved = {"/var/log/$label.log": f"{self.own_log.parent}/$label.log"}
        arguments = ("alice", "default", LABEL, MISSES, START, log or self.log, 1, keep)
        done = self.mac.run("pulse", *arguments, edits=moved | dict(edits or {}))
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

    def steps(self) -> list[str]:
        """What was done, in order: launchctl's verbs that change something."""
        return [" ".join(call) for call in self.mac.calls("launchctl") if not call[0].startswith("print")]

    @property
    def restarts(self) -> int:
        path = self.world / "restarts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def forget_calls(self) -> None:
        for path in (self.mac.root / "calls").iterdir():
            path.unlink()

    @property
    def state(self) -> dict[str, str]:
        lines = (self.directory / "state").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines[:-1])


@pytest.fixture
def pulse(mac: Mac) -> Pulse:
    return Pulse(mac)


@pytest.fixture
def one_pulse(one_mac: Mac) -> Pulse:
    return Pulse(one_mac)


def well(pulse: Pulse) -> Pulse:
    """Docker has answered under the job's process."""
    pulse.answers()
    pulse.log.write_text(STARTED)
    assert pulse.tick() == []
    pulse.silent()
    return pulse


# All is well


def test_while_all_is_well_a_tick_is_one_curl_as_the_user_and_one_stat(pulse: Pulse) -> None:
    pulse.answers()
    pulse.tick()
    before = (pulse.directory / "state").stat().st_mtime_ns
    pulse.forget_calls()
    assert pulse.ticks(2) == []
    assert sorted(path.name for path in (pulse.mac.root / "calls").iterdir() if not path.suffix) == [
        "curl",
        "stat",
        "sudo",
    ]
    socket = f"{pulse.mac.home}/.colima/default/docker.sock"
    ask = ["-q", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket]
    assert pulse.mac.calls("curl") == [[*ask, "http://localhost/_ping"]] * 2
    assert [call[:5] for call in pulse.mac.calls("sudo")] == [
        ["-n", "-H", "-u", "alice", pulse.mac.path("/usr/bin/curl")]
    ] * 2
    assert len(pulse.mac.calls("stat")) == 2
    assert (pulse.directory / "state").stat().st_mtime_ns == before


@pytest.mark.parametrize("misses", range(MISSES))
def test_a_few_misses_are_noted_and_no_more(one_pulse: Pulse, misses: int) -> None:
    well(one_pulse)
    assert one_pulse.ticks(misses) == []
    assert one_pulse.state["misses"] == str(misses)
    one_pulse.answers()
    assert one_pulse.ticks(2) == []
    assert one_pulse.state["misses"] == "0"
    assert one_pulse.steps() == []
    assert one_pulse.mac.calls("limactl") == []


# What ails it, and the step that can help

SILENT = "Docker does not answer (curl: (7) Failed to connect 000)"
TERM, KICK = f"kill TERM system/{LABEL}", f"kickstart system/{LABEL}"
RESPAWNS = "sed -i 's/pid = 312/pid = 400/' '{world}/print'"


def respawns(pulse: Pulse) -> None:
    """launchd starts the job again when it has ended."""
    pulse.put(kill=RESPAWNS.format(world=pulse.world))


@pytest.mark.parametrize(
    ("lima", "found"),
    [
        (RUNNING.replace("Running", "Stopped"), "(Lima: Stopped)"),
        (RUNNING.replace("Running", "Broken"), "(Lima: Broken)"),
        ('{"name":"colima-foo","status":"Running"}', "(Lima: no instance)"),
        ("not JSON", "(Lima: no instance)"),
        ("", "(Lima: no instance)"),
    ],
)
def test_a_vm_that_is_gone(pulse: Pulse, lima: str, found: str) -> None:
    well(pulse)
    pulse.lima(lima)
    respawns(pulse)
    assert pulse.ticks(MISSES) == [
        f"warning {SILENT}; Colima's process runs without its VM {found}",
        "warning stops Colima in order and has launchd start it again: "
        f"Colima's process runs without its VM {found}; the next step not within 60 s",
    ]
    assert pulse.steps() == [TERM, KICK]


@pytest.mark.parametrize("body", ["exit 1", "trap '' TERM; sleep 300", "sleep 300 & exit 1"])
def test_a_limactl_that_fails_or_hangs_is_a_failure(one_pulse: Pulse, body: str) -> None:
    well(one_pulse)
    one_pulse.lima(body=body)
    respawns(one_pulse)
    edits = {'"$1" "$2" 30 /usr/bin/env': '"$1" "$2" 0.2 /usr/bin/env'}
    said = one_pulse.ticks(MISSES, edits={**edits, "alarm 5": "alarm 0.2"})
    assert "(Lima: no answer)" in said[0]
    assert one_pulse.steps() == [TERM, KICK]


@pytest.mark.parametrize(
    ("docker", "containerd", "found"),
    [
        ("inactive", "active", "docker is inactive"),
        ("failed", "failed", "docker is failed"),
        ("activating", "active", "docker is activating"),
        ("active", "failed", "containerd is failed"),
    ],
)
def test_a_docker_that_is_dead_in_the_guest(pulse: Pulse, docker: str, containerd: str, found: str) -> None:
    well(pulse)
    pulse.guest(docker, containerd)
    assert pulse.ticks(MISSES) == [
        f"warning {SILENT}; in the guest {found}",
        f"warning restarts Docker in the guest: in the guest {found}; the next step not within 60 s",
    ]
    assert (pulse.restarts, pulse.steps()) == (1, [])
    pulse.answers()
    assert pulse.tick() == ["info Docker answers again after 150 s"]


def test_a_step_that_helps_is_seen_in_the_same_tick(pulse: Pulse) -> None:
    """What fails right after it is another ailment: the back-off of this one has ended."""
    well(pulse)
    pulse.guest("failed", heals=True)
    assert pulse.ticks(MISSES)[-1] == "info Docker answers again after 60 s"
    assert {pulse.state[key] for key in ("misses", "delay", "not_before")} == {"0"}
    assert pulse.state["step"] == ""
    pulse.silent()
    (_, step) = pulse.ticks(MISSES)[:2]
    assert step.startswith("warning restarts Docker in the guest: ")


@pytest.mark.parametrize("seconds", [50, 70])
def test_a_start_that_takes_its_time_is_awaited_until_the_next_step_may_come(
    one_pulse: Pulse, seconds: int
) -> None:
    well(one_pulse)
    one_pulse.lima("")
    respawns(one_pulse)
    ready = BOOT + one_pulse.uptime + 30 * MISSES + seconds
    one_pulse.silent(f"read -r now <'{one_pulse.world}/now'; [ $now -ge {ready} ] && printf 200")
    said = one_pulse.ticks(MISSES)
    assert one_pulse.steps() == [TERM, KICK]
    assert (said[-1] == f"info Docker answers again after {60 + seconds} s") is (seconds < 60)


def test_a_deploy_that_comes_while_a_start_is_awaited_is_left_alone(one_pulse: Pulse) -> None:
    well(one_pulse)
    one_pulse.lima("")
    respawns(one_pulse)
    one_pulse.put(kickstart=f"echo '8000 deploy' >'{one_pulse.directory}/hold'")
    before = one_pulse.uptime
    one_pulse.ticks(MISSES)
    assert one_pulse.steps() == [TERM, KICK]
    assert one_pulse.uptime - before < 30 * MISSES + 60


@pytest.mark.parametrize(
    "answer", ["printf 'curl: (52) Empty reply from server\\n000'; exit 52", "printf 503"]
)
def test_a_socket_that_is_dead(pulse: Pulse, answer: str) -> None:
    well(pulse)
    pulse.silent(answer)
    respawns(pulse)
    said = pulse.ticks(MISSES)
    assert "in the guest Docker is active, so the way to it is broken" in said[0]
    assert (pulse.restarts, pulse.steps()) == (0, [TERM, KICK])


@pytest.mark.parametrize("body", ["exit 255", "trap '' TERM; sleep 300", "echo Welcome"])
def test_a_guest_that_is_deaf(one_pulse: Pulse, body: str) -> None:
    well(one_pulse)
    one_pulse.guest(body=body)
    respawns(one_pulse)
    edits = {'"$profile" 15)': '"$profile" 0.2)', "alarm 5": "alarm 0.2"}
    assert "the guest does not answer either" in one_pulse.ticks(MISSES, edits=edits)[0]
    assert one_pulse.steps() == [TERM, KICK]


def test_a_job_that_launchd_holds_back_is_kicked(pulse: Pulse) -> None:
    pulse.job(None)
    assert pulse.ticks(MISSES) == [
        f"warning {SILENT}; Colima does not run (last exit: 78: EX_CONFIG)",
        "warning has launchd start Colima now: Colima does not run (last exit: 78: EX_CONFIG); "
        "the next step not within 60 s",
    ]
    assert pulse.steps() == [KICK], "without -k"
    assert pulse.mac.calls("limactl") == []


# What is left alone


def test_a_job_that_was_booted_out_stays_out(pulse: Pulse) -> None:
    well(pulse)
    pulse.job(None, status=113)
    said = f"{SILENT}; {LABEL} was unloaded on purpose; the pulse leaves it alone"
    assert pulse.ticks(6) == [f"warning {said}"], "said once"
    assert (pulse.steps(), pulse.mac.calls("limactl")) == ([], [])
    pulse.answers()
    assert pulse.tick() == ["info Docker answers again after 180 s"]


@pytest.mark.parametrize("macos", ["12", "13"])
def test_a_job_that_is_disabled_is_left_alone(pulse: Pulse, macos: str) -> None:
    well(pulse)
    word = {"12": "true", "13": "disabled"}[macos]
    text = (RECORDINGS / f"launchctl/print-disabled-macos{macos}.txt").read_text()
    mark = f'"com.apple.ftpd" => {word}'
    assert mark in text
    pulse.put(disabled=text.replace(mark, f'"{LABEL}" => {word}'))
    pulse.lima("")
    said = f"{SILENT}; {LABEL} was disabled on purpose; the pulse leaves it alone"
    assert pulse.ticks(5) == [f"warning {said}"]
    assert pulse.steps() == []


@pytest.mark.parametrize(
    ("status", "printed"),
    [(1, ""), (112, "Could not find domain"), (124, ""), (0, "nonsense"), (0, "system/x = {\n\tpid = 1\n}")],
)
def test_without_launchds_answer_nothing_is_done(pulse: Pulse, status: int, printed: str) -> None:
    well(pulse)
    pulse.put(print=printed, **{"print-status": str(status)})
    pulse.lima("")
    said = f"error {SILENT}; launchd's answer about {LABEL} cannot be read; nothing is done"
    assert pulse.ticks(6) == [said]
    assert pulse.steps() == []


def test_launchctl_that_hangs_is_no_answer(one_pulse: Pulse) -> None:
    well(one_pulse)
    one_pulse.mac.tool("/bin/launchctl", "trap '' TERM; sleep 300")
    edits = {"bounded 20 /bin/launchctl print ": "bounded 0.2 /bin/launchctl print ", "alarm 5": "alarm 0.2"}
    assert "cannot be read; nothing is done" in one_pulse.ticks(MISSES, edits=edits)[0]


@pytest.mark.parametrize("disabled", ["", "nonsense"])
def test_without_the_disabled_labels_nothing_is_done(one_pulse: Pulse, disabled: str) -> None:
    well(one_pulse)
    one_pulse.put(disabled=disabled, **{"disabled-status": "0" if disabled else "1"})
    assert "does not tell what is disabled; nothing is done" in one_pulse.ticks(MISSES + 2)[0]
    assert one_pulse.steps() == []


@pytest.mark.parametrize("state", ["SIGTERMed", "SIGKILLed"])
def test_a_job_that_launchd_ends_is_left_alone(pulse: Pulse, state: str) -> None:
    well(pulse)
    pulse.job(312, state=state)
    assert pulse.ticks(5) == []
    assert pulse.steps() == []


def test_a_job_that_still_starts_is_left_alone_for_its_time(pulse: Pulse) -> None:
    pulse.log.write_text(STARTED + STARTING)
    pulse.lima("")
    assert pulse.ticks(START // 30) == [f"info {SILENT}; Colima is still starting"]
    assert pulse.steps() == []
    said = pulse.ticks(1)
    assert "(Lima: no instance)" in said[0]
    assert pulse.steps() == [TERM]


def test_a_first_start_takes_as_long_as_it_takes(pulse: Pulse) -> None:
    """Its image may come over a slow line; when it fails, `colima start` ends by itself."""
    pulse.provisioned.unlink()
    pulse.lima("")
    assert pulse.ticks(3 * START // 30) == [f"info {SILENT}; Colima is still starting"]
    assert pulse.steps() == []


def test_a_start_that_has_ended_is_no_start(one_pulse: Pulse) -> None:
    one_pulse.log.write_text(STARTED)
    one_pulse.lima("")
    respawns(one_pulse)
    one_pulse.ticks(MISSES)
    assert one_pulse.steps() == [TERM, KICK]


def test_a_launch_that_makes_the_ground_ready_is_a_start(pulse: Pulse) -> None:
    """It logs nothing of its own: the log ends with the start before."""
    pulse.log.write_text(STARTED)
    pulse.mac.table((312, 501, "/bin/sh /Library/ColimaPulse/launch /opt/homebrew/bin/colima start"))
    pulse.lima("")
    assert pulse.ticks(MISSES + 2) == [f"info {SILENT}; Colima is still starting"]
    assert pulse.steps() == []


def test_a_process_that_has_just_begun_is_a_start_whatever_the_log_ends_with(pulse: Pulse) -> None:
    """Colima says that it begins a moment after it has become launch's process."""
    pulse.log.write_text(STARTED)
    pulse.lima("")
    pulse.ticks(MISSES - 1)
    pulse.job(pid=400)
    assert pulse.tick() == [f"info {SILENT}; Colima is still starting"]
    assert pulse.steps() == []
    assert "(Lima: no instance)" in pulse.tick()[0]


def test_a_process_under_which_docker_has_answered_does_not_start(pulse: Pulse) -> None:
    """Though the log was cut meanwhile, and tells of no start."""
    well(pulse)
    pulse.log.write_text("")
    pulse.lima("")
    respawns(pulse)
    pulse.ticks(MISSES)
    assert pulse.steps() == [TERM, KICK]


def hold(pulse: Pulse, seconds: int, owner: str = "deploy 7") -> subprocess.CompletedProcess[str]:
    return pulse.mac.run("hold", LABEL, seconds, owner)


def test_a_deploy_under_way_is_left_alone_until_it_lets_go(pulse: Pulse) -> None:
    well(pulse)
    pulse.lima("")
    respawns(pulse)
    assert hold(pulse, 900).returncode == 0
    assert pulse.ticks(5) == []
    assert (pulse.steps(), pulse.mac.calls("limactl")) == ([], [])
    assert hold(pulse, 0).returncode == 0
    pulse.ticks(MISSES)
    assert pulse.steps() == [TERM, KICK]


def test_a_hold_that_is_stale_holds_no_more(pulse: Pulse) -> None:
    well(pulse)
    pulse.lima("")
    hold(pulse, 60)
    assert pulse.ticks(1) == []
    assert (pulse.directory / "hold").exists()
    pulse.ticks(MISSES)
    assert pulse.steps() == [TERM]
    assert not (pulse.directory / "hold").exists()


@pytest.mark.parametrize(
    "text", ["", "garbage", "-5 x", "08999 x", "99999999999999999999 x", "8700 x", "5999;rm x"]
)
def test_a_hold_that_is_none_is_removed(one_pulse: Pulse, text: str) -> None:
    well(one_pulse)
    one_pulse.lima("")
    (one_pulse.directory / "hold").write_text(text + "\n")
    one_pulse.ticks(MISSES)
    assert one_pulse.steps() == [TERM]
    assert not (one_pulse.directory / "hold").exists()


def test_a_hold_is_let_go_by_its_owner_and_lasts_an_hour_at_most(pulse: Pulse) -> None:
    file = pulse.directory / "hold"
    assert hold(pulse, 99999, "one two").returncode == 0
    assert file.read_text() == f"{pulse.uptime + 3600} one two\n"
    hold(pulse, 0, "another")
    assert file.exists()
    hold(pulse, 100, "another")
    hold(pulse, 0, "one two")
    assert file.read_text() == f"{pulse.uptime + 100} another\n"
    hold(pulse, 0, "another")
    assert not file.exists()
    assert hold(pulse, 0, "another").returncode == 0


# One step after another


def steps_over(pulse: Pulse, seconds: int, every: int = 30) -> list[tuple[int, str]]:
    """Let time pass: what was said of steps, and how many seconds after the first tick with one."""
    found: list[tuple[int, str]] = []
    first = None
    end = pulse.uptime + seconds
    while (begins := pulse.uptime + every) < end:
        for line in pulse.tick(every):
            level, _, text = line.partition(" ")
            if "the next step not within" in text or level == "error":
                first = begins if first is None else first
                found.append((begins - first, text.partition(":")[0]))
    return found


def test_a_step_that_did_not_help_is_followed_by_the_next_larger_one(pulse: Pulse) -> None:
    well(pulse)
    pulse.guest("failed")
    pulse.put(kill="")
    before = pulse.uptime
    pulse.ticks(MISSES)
    assert (pulse.restarts, pulse.steps()) == (1, [])
    assert pulse.uptime - before >= 30 * MISSES + 60, "it has its minute"
    first, second = pulse.tick(10)
    assert first.startswith("warning stops Colima in order and has launchd start it again: ")
    assert first.endswith("the next step not within 120 s")
    assert second == "error Colima does not end within 180 s"
    assert pulse.steps() == [TERM]
    pulse.forget_calls()
    respawns(pulse)
    (said,) = pulse.tick(130)
    assert said.startswith("warning ends Colima and its VM, and starts them again: ")
    assert pulse.steps() == [f"kill KILL system/{LABEL}", KICK]
    pulse.answers()
    assert pulse.tick()[0].startswith("info Docker answers again after ")
    pulse.silent()
    pulse.forget_calls()
    pulse.ticks(MISSES)
    assert (pulse.restarts, pulse.steps()) == (2, []), "the next time begins anew"


def test_a_deaf_guest_is_not_waited_for_as_long(one_pulse: Pulse) -> None:
    well(one_pulse)
    one_pulse.guest(body="exit 255")
    assert one_pulse.ticks(MISSES)[-1] == "error Colima does not end within 30 s"


def test_a_start_that_always_fails_is_kicked_ever_more_rarely_and_then_left(pulse: Pulse) -> None:
    pulse.job(None)
    pulse.log.write_text(FATAL)
    said = steps_over(pulse, 11000, every=60)
    assert [text for _, text in said] == ["has launchd start Colima now"] * 7 + ["gives up"]
    times = [at for at, _ in said]
    gaps = [after - before for before, after in pairwise(times)]
    # A tick awaits what it has done for as long as a start may take, and the next comes a minute later.
    assert gaps == [60 + 60, 120 + 60, 240 + 60, 480, 960, 1920, 3600]
    assert pulse.steps() == [KICK] * 7
    assert "error starting docker: exit status 1" in pulse.state["last"]
    assert "deploys/recover.py, or deploys/diagnose.py" in pulse.state["last"]
    assert pulse.state["gave_up"] == "yes"


def given_up(pulse: Pulse, pid: int | None = 312) -> Pulse:
    """The pulse has given up on a process, or on a job that has none; it was the job's fourth."""
    well(pulse)
    pulse.job(pid, runs=4)
    pulse.guest("failed")
    pulse.ticks(MISSES)
    state = pulse.directory / "state"
    state.write_text(state.read_text().replace("delay=60", "delay=3600"))
    (said,) = pulse.tick(90)
    assert said.startswith("error gives up: ")
    pulse.forget_calls()
    return pulse


def test_when_it_has_given_up_it_does_nothing(one_pulse: Pulse) -> None:
    given_up(one_pulse)
    assert steps_over(one_pulse, 20000, every=2000) == []
    assert (one_pulse.steps(), one_pulse.mac.calls("limactl")) == ([], [])
    one_pulse.answers()
    assert one_pulse.tick()[0].startswith("info Docker answers again after ")
    assert one_pulse.state["gave_up"] == ""


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
def test_a_job_started_by_another_hand_is_looked_after_again(
    one_pulse: Pulse, before: int | None, after: int | None, runs: int, again: bool
) -> None:
    given_up(one_pulse, before)
    one_pulse.job(after, runs=runs)
    one_pulse.log.write_text(STARTED)
    one_pulse.ticks(2)
    assert one_pulse.state["gave_up"] == ("" if again else "yes")
    assert one_pulse.state["step"] == ("docker" if again else one_pulse.state["step"])


def test_a_job_that_is_booted_out_meanwhile_is_not_started(pulse: Pulse) -> None:
    well(pulse)
    pulse.lima("")
    gone = f"""echo 113 >'{pulse.world}/print-status'"""
    pulse.put(kill=gone)
    pulse.ticks(MISSES)
    assert pulse.steps() == [TERM]


@pytest.mark.parametrize(
    "meanwhile",
    [
        "echo 113 >'{world}/print-status'",
        "echo 'printf 200' >'{world}/ping'",
        "echo '5999 deploy' >'{directory}/hold'",
        "sed -i 's/pid = 312/pid = 313/' '{world}/print'",
    ],
)
def test_before_a_step_it_looks_once_more(one_pulse: Pulse, meanwhile: str) -> None:
    """While limactl took its time, someone has stepped in, or Docker answers."""
    well(one_pulse)
    one_pulse.lima(body=meanwhile.format(world=one_pulse.world, directory=one_pulse.directory))
    (said,) = one_pulse.ticks(MISSES)
    assert "(Lima: no instance)" in said
    assert one_pulse.steps() == []


def test_what_launchctl_refuses_is_said(one_pulse: Pulse) -> None:
    one_pulse.job(None)
    one_pulse.put(kickstart="echo 'Could not kickstart service: 124: Domain is tearing down' >&2; exit 124")
    said = one_pulse.ticks(MISSES)[-1]
    assert said == "error launchctl kickstart: 124: Could not kickstart service: 124: Domain is tearing down"


def test_a_vm_that_does_not_end_is_ended_pid_by_verified_pid(pulse: Pulse) -> None:
    mac = pulse.mac
    agent = mac.start(hostagent(mac))
    machine = mac.start(qemu(mac), ignores_term=True)
    strangers = [mac.start(qemu(mac, "colima-foo")), mac.start(f"vim {qemu(mac)}")]
    well(pulse)
    pulse.lima("")
    state = pulse.directory / "state"
    state.write_text(state.read_text().replace("step=", "step=job"))
    respawns(pulse)
    said = pulse.ticks(MISSES)
    assert said[-1].startswith("warning ends Colima and its VM")
    assert pulse.steps() == [f"kill KILL system/{LABEL}", KICK]
    assert (agent.wait(5), machine.wait(5)) == (-signal.SIGTERM, -signal.SIGKILL)
    assert [each.poll() for each in strangers] == [None, None]


def test_without_ps_nothing_but_the_job_is_signalled(one_pulse: Pulse) -> None:
    mac = one_pulse.mac
    machine = mac.start(qemu(mac))
    well(one_pulse)
    one_pulse.lima("")
    state = one_pulse.directory / "state"
    state.write_text(state.read_text().replace("step=", "step=kill"))
    respawns(one_pulse)
    mac.tool("/bin/ps", "trap '' TERM; sleep 300")
    edits = {"bounded 20 /usr/bin/env": "bounded 0.2 /usr/bin/env", "alarm 5": "alarm 0.2"}
    assert one_pulse.ticks(MISSES, edits=edits)[-1].startswith(
        "error the processes of this Mac cannot be read"
    )
    assert one_pulse.steps() == [f"kill KILL system/{LABEL}", KICK]
    assert machine.poll() is None


def test_the_clock_may_jump(pulse: Pulse) -> None:
    """The kernel moves its boot time with it."""
    well(pulse)
    pulse.guest("failed")
    pulse.ticks(MISSES)
    state = pulse.directory / "state"
    state.write_text(re.sub(r"not_before=\d+", f"not_before={pulse.uptime + 100}", state.read_text()))
    pulse.forget_calls()
    now = pulse.uptime + BOOT + 86400
    pulse.put(boottime=f"{{ sec = {BOOT + 86400}, usec = 42 }} Mon Jun 16 15:06:40 2025", now=str(now))
    assert pulse.tick(30) == []
    assert (pulse.restarts, pulse.steps()) == (1, [])


def test_a_state_that_is_none_is_forgotten(one_pulse: Pulse) -> None:
    well(one_pulse)
    one_pulse.lima("")
    one_pulse.ticks(2)
    state = one_pulse.directory / "state"
    whole = state.read_text()
    for text in (
        "",
        "garbage",
        whole.removesuffix("end\n"),
        whole.replace("misses=2", "misses=02"),
        whole.replace("misses=2", "misses=2; touch x"),
        whole.replace("pid=312", "pid=$(touch x)"),
        whole.replace("step=", "step=$(touch x)"),
        whole.replace("at=", "PATH=", 1),
        whole.replace("since=", "since=9999999999"),
        f"home=relative\n{whole}",
    ):
        state.write_text(text)
        assert one_pulse.tick() == []
        assert one_pulse.state["misses"] == "1", text
    assert not list(one_pulse.mac.root.glob("**/x"))


# The boot report


def booted(pulse: Pulse) -> None:
    pulse.uptime = 20
    assert pulse.ticks(2) == []


def test_a_boot_is_reported_once(pulse: Pulse) -> None:
    booted(pulse)
    pulse.answers()
    assert pulse.tick(14) == ["info ready 94 s after boot; console: nobody; containers: 2 of 3 run"]
    assert pulse.ticks(3) == []


def test_who_is_at_the_console_and_containers_that_docker_does_not_tell(one_pulse: Pulse) -> None:
    booted(one_pulse)
    one_pulse.put(console="alice", inspected="")
    one_pulse.ticks(3)
    one_pulse.answers()
    said = one_pulse.tick()
    assert said == ["info ready 200 s after boot; console: alice; containers: ? of ? run"]


def test_what_did_not_come_back_is_named(pulse: Pulse) -> None:
    """Of what installers made, but for what was to end and did well."""
    booted(pulse)
    ended: dict[str, Any] = {"Status": "exited", "ExitCode": 0}
    pulse.docker(
        container(1, "web", SPEC),
        container(2, "db", SPEC, **ended),
        container(3, "job", SPEC, attached=True, **ended),
        container(4, "failed", SPEC, attached=True, Status="exited", ExitCode=1),
        container(5, "never", SPEC, attached=True, Status="created"),
        container(6, "again", SPEC, Status="restarting", ExitCode=1),
        container(7, "by-hand", **ended),
    )
    pulse.answers()
    said = "containers: 1 of 7 run; not back: db, failed, never, again"
    assert pulse.tick(14) == [f"info ready 94 s after boot; console: nobody; {said}"]


def test_names_that_are_none_reach_no_log(one_pulse: Pulse) -> None:
    """Behind the user's socket may be anything."""
    booted(one_pulse)
    odd = container(1, "a\\x1b]52;c\x07; not back: b", SPEC, Status="exited")
    long = [container(number, f"{number}" * 500, SPEC, Status="dead") for number in range(2, 30)]
    one_pulse.docker(odd, *long)
    inspected = one_pulse.world / "inspected"
    inspected.write_text(inspected.read_text().replace("\\u0007", "\x07"))
    one_pulse.answers()
    (said,) = one_pulse.tick(14)
    assert said.startswith(
        "info ready 94 s after boot; console: nobody; containers: 0 of 29 run; not back: a?"
    )
    assert said.endswith(", 19 more")
    assert set(said.partition("not back: ")[2]) <= {*ascii_letters, *digits, *"?, -"}
    assert len(said) < 900


def test_what_it_says_is_text(one_pulse: Pulse) -> None:
    well(one_pulse)
    one_pulse.silent(r"printf '\033]52;c;x\007b\344d\n000'; exit 7")
    said = one_pulse.ticks(3)[0]
    assert "(?]52;c;x?b?d 000)" in said


def test_a_boot_that_did_not_empty_var_run_is_a_boot(one_pulse: Pulse) -> None:
    well(one_pulse)
    booted(one_pulse)
    one_pulse.answers()
    assert one_pulse.tick()[0].startswith("info ready 110 s after boot; ")


def test_of_a_mac_that_was_up_before_the_pulse_no_boot_is_reported(one_pulse: Pulse) -> None:
    one_pulse.answers()
    assert one_pulse.tick() == []


# The logs


def old(path: Path, number: int) -> str:
    return gzip.decompress(path.with_name(f"{path.name}.{number}.gz").read_bytes()).decode()


def test_a_log_that_is_too_large_is_cut_in_place(pulse: Pulse) -> None:
    well(pulse)
    pulse.answers()
    writer = os.open(pulse.log, os.O_WRONLY | os.O_APPEND)
    inode = pulse.log.stat().st_ino
    for number in range(3):
        os.write(writer, f"{number}\n".encode() * 600_000)
        assert pulse.tick() == []
        assert pulse.log.read_text() == ""
        os.write(writer, b"after\n")
        assert pulse.log.read_text() == "after\n", "the writer goes on in the live file"
    os.close(writer)
    assert pulse.log.stat().st_ino == inode
    assert old(pulse.log, 1) == "after\n" + "2\n" * 600_000
    assert old(pulse.log, 2) == "after\n" + "1\n" * 600_000
    kept = sorted(path.name for path in pulse.log.parent.iterdir())
    assert kept == ["colima.log", "colima.log.1.gz", "colima.log.2.gz", pulse.own_log.name]
    assert {call[4] for call in pulse.mac.calls("sudo")} == {pulse.mac.path("/usr/bin/curl")}


def test_its_own_log_is_cut_too(one_pulse: Pulse) -> None:
    one_pulse.own_log.write_text("x" * 1_000_001)
    one_pulse.tick()
    assert (one_pulse.own_log.read_text(), old(one_pulse.own_log, 1)) == ("", "x" * 1_000_001)


def test_fewer_are_kept_when_fewer_are_asked_for(one_pulse: Pulse) -> None:
    for number in range(1, 6):
        one_pulse.log.with_name(f"colima.log.{number}.gz").write_bytes(gzip.compress(b"old"))
    one_pulse.log.write_text("x" * 1_000_001)
    one_pulse.tick(keep=1)
    assert [path.name for path in one_pulse.log.parent.glob("*.gz")] == ["colima.log.1.gz"]
    assert old(one_pulse.log, 1) == "x" * 1_000_001


def test_a_copy_that_fails_costs_nothing_and_is_said_once(one_pulse: Pulse) -> None:
    for number in (1, 2):
        one_pulse.log.with_name(f"colima.log.{number}.gz").write_bytes(gzip.compress(b"%d" % number))
    one_pulse.log.write_text("x" * 1_000_001)
    one_pulse.mac.tool("/usr/bin/gzip", "echo 'gzip: No space left on device' >&2; exit 1")
    said = [line for line in one_pulse.ticks(3) if "kept below" in line]
    assert said == [f"error {one_pulse.log} cannot be kept below 1 MB: gzip: No space left on device"]
    assert one_pulse.log.stat().st_size == 1_000_001
    assert old(one_pulse.log, 2) == "1", "it is pushed up once"


def test_a_log_that_is_a_link_is_left_alone(one_pulse: Pulse) -> None:
    target = one_pulse.mac.root / "secret"
    target.write_text("x" * 1_000_001)
    one_pulse.log.unlink()
    one_pulse.log.symlink_to(target)
    one_pulse.answers()
    assert one_pulse.ticks(3) == [f"error {one_pulse.log} cannot be kept below 1 MB: it is no regular file"]
    assert target.stat().st_size == 1_000_001
    assert one_pulse.mac.calls("chown") == []


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("Directory:501:alice:755", "is alice's"),
        ("Directory:0:root:775", "has the mode 775"),
        ("Directory:0:root:1777", "has the mode 1777"),
        ("Directory:0:root:757", "has the mode 757"),
        ("Symbolic Link:0:root:755", "is a symbolic link"),
    ],
)
def test_where_another_than_root_can_write_it_is_left_alone(one_pulse: Pulse, mode: str, why: str) -> None:
    """Who can swap a directory has root write, and give away, whatever the name leads to then."""
    one_pulse.put(mode=mode)
    one_pulse.log.write_text("x" * 1_000_001)
    one_pulse.answers()
    (error,) = (line for line in one_pulse.ticks(3) if "error" in line)
    assert error.startswith(f"error {one_pulse.log} cannot be kept below 1 MB: / {why}")
    assert one_pulse.log.stat().st_size == 1_000_001
    one_pulse.log.unlink()
    one_pulse.ticks(2)
    assert not one_pulse.log.exists()
    assert one_pulse.mac.calls("chown") == []


def test_a_log_that_was_deleted_is_made_again(pulse: Pulse) -> None:
    well(pulse)
    pulse.answers()
    pulse.log.unlink()
    assert pulse.tick() == []
    assert (pulse.log.read_text(), oct(pulse.log.stat().st_mode)[-3:]) == ("", "644")
    (call,) = pulse.mac.calls("chown")
    assert call[:2] == ["-h", "alice"]
    assert sorted(path.name for path in pulse.log.parent.iterdir()) == ["colima.log", pulse.own_log.name]


# The end


def test_it_ends_at_once_when_it_is_told_to(pulse: Pulse) -> None:
    pulse.mac.tool("/usr/bin/curl", "exec sleep 300")
    (pulse.directory).mkdir(parents=True)
    well_state = f"home={pulse.mac.home}\nat=1\nsince=1\nready=yes\nend\n"
    (pulse.directory / "state").write_text(well_state)
    text = pulse.mac.text("pulse")
    process = pulse.mac.popen(
        "-c", text, "pulse", "alice", "default", LABEL, "3", "300", str(pulse.log), "1", "1"
    )
    until(lambda: pulse.mac.calls("curl"))
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(2) == -signal.SIGTERM
    process.communicate()


# observe-pulse


def observed(pulse: Pulse) -> PulseState:
    edits = {"/var/log/$1.log": f"{pulse.own_log.parent}/$1.log"}
    done = pulse.mac.run("observe-pulse", LABEL, edits=edits)
    assert (done.returncode, done.stderr) == (0, "")
    return PulseFact().process(lines(done))


def test_what_is_observed(pulse: Pulse) -> None:
    assert observed(pulse) == PulseState("not looked yet")
    well(pulse)
    assert observed(pulse).state == "well"
    pulse.tick()
    assert (observed(pulse).state, observed(pulse).misses) == ("missing", 1)
    pulse.guest("failed")
    pulse.ticks(2)
    found = observed(pulse)
    assert (found.state, found.step) == ("backing off", "docker")
    assert found.reason is not None
    assert found.reason.startswith("restarts Docker in the guest: in the guest docker is failed")
    pulse.job(None, status=113)
    pulse.tick()
    assert observed(pulse).state == "left alone"


def test_its_reports_are_read_back(pulse: Pulse) -> None:
    booted(pulse)
    pulse.answers()
    with pulse.own_log.open("w") as log:
        log.write("\xff\n|end\n")
        log.writelines(f"{line}\n" for line in pulse.printed(14))
    (report,) = observed(pulse).reports
    assert (report.seconds, report.console, report.running, report.total) == (94, None, 2, 3)


def test_a_log_that_is_gone_is_no_log(one_pulse: Pulse) -> None:
    one_pulse.own_log.unlink()
    assert observed(one_pulse) == PulseState("not looked yet")
