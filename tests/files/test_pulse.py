"""files/pulse, tick by tick: what it sees, what it runs, what it says; with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.files.conftest import Mac

RECORDINGS = Path(__file__).parents[1] / "recordings"
LABEL = "com.example.colima"
MISSES = 3
START = 300
STARTED = (RECORDINGS / "colima/foreground.log").read_text().partition('level=info msg="interrupted')[0]
STARTING = STARTED.partition("keeping Colima")[0]
FATAL = (RECORDINGS / "colima/docker-fails.log").read_text()
BOOT = 1_750_000_000
RUNNING = '{"name":"colima-foo","status":"Stopped"}\n{"name":"colima","status":"Running","dir":"/x"}'
LISTED = (
    '[{"Id":"0a","Names":["/a"],"Labels":{"State":"running"},"State":"running","Status":"Up 2 s"},'
    '{"Id":"0b","Names":["/b"],"Labels":{},"State":"running","Status":"Up 2 s"},'
    '{"Id":"0c","Names":["/c"],"Labels":{},"State":"exited","Status":"Exited (0)"}]'
)


class Pulse:
    """The pulse of one Mac: what the world is like, in files that stand-ins read; and its ticks."""

    def __init__(self, mac: Mac) -> None:
        self.mac = mac
        self.world = mac.root / "world"
        self.log = mac.root / "log/colima.log"
        self.own_log = mac.root / f"log/{LABEL}.log"
        self.user_log = mac.home / "colima.log"
        self.directory = mac.root / "var/run/colima-pulse" / LABEL
        for directory in (self.world, self.log.parent, self.directory.parent.parent):
            directory.mkdir(parents=True)
        for path in (self.log, self.own_log):
            path.write_text("")
        mac.become("root")
        mac.link("gzip")
        mac.tool("/usr/sbin/chown", "")
        world = f"'{self.world}'"
        # The clock of the test: a sleep is a second of it.
        mac.tool("/bin/date", f'if [ "$1" = +%s ]; then cat {world}/now; else exec date "$@"; fi')
        mac.tool("/bin/sleep", f"read -r now <{world}/now; echo $((now + 1)) >{world}/now; exec sleep 0.02")
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
                '%Su') ;; '%Su %z') ;;
                '%HT %z')
                    type='Regular File'
                    [ -d "$path" ] && type=Directory
                    [ -L "$path" ] && type='Symbolic Link'
                    size=$(stat -c %s "$path") || exit 1
                    echo "$type $size" ;;
                '%u %Lp') case $path in '{mac.home}'*) echo 501 700 ;; *) echo "$(cat {world}/mode)" ;; esac ;;
                esac
                [ "$path" = /dev/console ] && cat {world}/console
            done""",
        )
        mac.tool(
            "/usr/bin/curl",
            f"""case "$*" in
            *_ping*) . {world}/ping ;;
            *all=1*) cat {world}/containers ;;
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
            mode="0 755",
            console="root",
            containers=LISTED,
            disabled=(RECORDINGS / "launchctl/print-disabled-macos13.txt").read_text(),
            kill="",
            kickstart="",
        )
        self.put(**{"disabled-status": "0"})
        self.silent()
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

    def guest(self, docker: str = "active", containerd: str = "active", body: str = "") -> None:
        """What the guest's systemd says; and a restart of Docker there is noted."""
        said = f"echo Welcome; printf 'answers=yes\\ndocker={docker}\\ncontainerd={containerd}\\n'"
        restarts = (
            f"case $* in *'restart docker'*) echo restart >>'{self.world}/restarts' ;; *) {said} ;; esac"
        )
        self.put(**{"limactl-shell": body or restarts})

    def tick(
        self,
        seconds: int = 30,
        edits: Mapping[str, str] | None = None,
        log: Path | None = None,
        keep: int = 2,
    ) -> list[str]:
        """Let so many seconds pass, and the pulse tick; what it says, each "LEVEL TEXT"."""
        self.uptime += seconds
        moved = {"/var/log/$label.log": f"{self.own_log.parent}/$label.log"}
        arguments = ("alice", "default", LABEL, MISSES, START, log or self.log, 1, keep)
        done = self.mac.run("pulse", *arguments, edits=moved | dict(edits or {}))
        assert (done.returncode, done.stderr) == (0, "")
        said = []
        for line in done.stdout.splitlines():
            head, _, rest = line.partition(' msg="')
            assert head.startswith('time="20"'[:8]) and rest.endswith('" context=pulse'), line
            said.append(head.rpartition("level=")[2] + " " + rest.removesuffix('" context=pulse'))
        return said

    def ticks(self, number: int, **options: object) -> list[str]:
        return [line for _ in range(number) for line in self.tick(**options)]  # type: ignore[arg-type]

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


def test_while_all_is_well_a_tick_is_one_curl_and_one_stat(pulse: Pulse) -> None:
    pulse.answers()
    pulse.tick()
    before = (pulse.directory / "state").stat().st_mtime_ns
    pulse.forget_calls()
    assert pulse.ticks(2) == []
    assert sorted(path.name for path in (pulse.mac.root / "calls").iterdir() if not path.suffix) == [
        "curl",
        "stat",
    ]
    socket = f"{pulse.mac.home}/.colima/default/docker.sock"
    assert (
        pulse.mac.calls("curl")
        == [
            ["-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket]
            + ["http://localhost/_ping"]
        ]
        * 2
    )
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
    assert pulse.tick() == ["info Docker answers again after 90 s"]


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
