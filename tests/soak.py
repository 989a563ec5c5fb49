"""A soak: faults injected at random moments into a stand-in Mac that serves Docker, until one stays.

`python -m tests.soak --minutes 30` boots a Mac, deploys to it with a container that writes a growing counter
to a volume, and injects FAULTS in random order. After each, Docker has to answer and the counter to grow
within two minutes and the time that a start takes there; the counter never goes back, no stranger is
signalled, a second VM never runs. It prints how long each took. tests/e2e runs the same faults once each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import plistlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.checkout import Checkout
from tests.e2e.looking import LABEL, PLIST, is_loaded, job_pid, ping
from tests.mac.machine import Mac, Process, missing

HOME = "/Users/alice"
VM = f"{HOME}/.colima/_lima/colima"
OTHER = f"{HOME}/.colima-other/_lima/colima"
HOST_AGENT = f"hostagent --pidfile {VM}/ha.pid"
LOG = "/var/log/colima.log"
RECOVERY_SECONDS = 120  # and the time of a start
PAUSE_SECONDS = 20
GROWTH_SECONDS = 3  # the counter grows five times in one
REST_SECONDS = 20
EVIDENCE_LINES = 40

# The shell writes beside the file and renames: whatever kills it, the counter is whole.
COUNTER = (
    "docker run --name counter -d --restart always -v counter:/data busybox sh -c '"
    "trap exit TERM; n=$(cat /data/n 2>/dev/null || echo 0); "
    "while :; do n=$((n+1)); echo $n >/data/next; mv /data/next /data/n; sleep 0.2; done'\n"
)
STRANGERS = {
    "sleep of alice": ("alice", "exec /bin/sleep 100000"),
    "sleep of root": ("root", "exec /bin/sleep 100001"),
    # As far as a command line tells. Not an instance of this Lima home, for whose sake the network that its
    # instances share would be left alone.
    "host agent of another Colima": (
        "alice",
        "exec /usr/bin/perl -e '$0 = shift; sleep' '/opt/homebrew/bin/limactl hostagent"
        f" --pidfile {OTHER}/ha.pid --socket {OTHER}/ha.sock colima'",
    ),
}


class SoakError(AssertionError):
    """What must not happen has happened."""


def until(look: Callable[[], object], seconds: float, what: str) -> None:
    """Await a condition; SoakError says what did not come."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise SoakError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


class Soak:
    """A deployed Mac under faults: watched all the time, and timed until it has recovered.

    `mac` has been deployed to with COUNTER as an installer. Use it as a context manager: a thread watches
    from start to end, and what it sees is raised as SoakError by the next `undergo`, `calm` or `check`.
    """

    def __init__(self, mac: Mac, chance: random.Random) -> None:
        self.mac = mac
        self.chance = chance
        self.start_seconds = first_start_seconds(mac)
        self.limit = RECOVERY_SECONDS + self.start_seconds
        self.highest = 0
        self.samples = 0
        self._strangers: dict[int, str] = {}
        self._seen: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Soak:
        self.await_docker()
        self.meet_strangers()
        # The fewest of some looks: a tick of the pulse is no rest.
        self.at_rest = min(self.count_processes() for _ in range(10))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    # What is watched

    def counter(self) -> int:
        """What the container has written, read off the guest's disk: also while the guest is dead."""
        found = list((self.mac.records / "vm").glob("*/*/docker/volumes/counter/_data/n"))
        with contextlib.suppress(OSError, ValueError):
            return int(found[0].read_text()) if found else 0
        return 0

    def machines(self) -> set[int]:
        """The pids of the profile's QEMU."""
        return {each.pid for each in self.mac.processes() if f"-pidfile {VM}/qemu.pid" in each.command}

    @property
    def is_whole(self) -> bool:
        """Whether the VM has its host agent, without which nobody gets into the guest."""
        return any(HOST_AGENT in each.command for each in self.mac.processes())

    def meet_strangers(self) -> None:
        """Start the processes that are nobody's business."""
        started = {}
        for name, (user, line) in STRANGERS.items():
            command = ["/bin/sh", "-c", f"({line}) >/dev/null 2>&1 & echo $!"]
            # The home may be locked.
            pid = self.mac.run(command, user=user, env={"HOME": "/private/tmp"}).stdout
            started[int(pid)] = name
        self._strangers = started

    @property
    def strangers(self) -> list[int]:
        """Their pids, in the order of STRANGERS."""
        return list(self._strangers)

    def _watch(self) -> None:
        try:
            self._look()
        except Exception as error:
            self._seen.append(f"nobody watches any more: {error!r}")
            raise

    def _look(self) -> None:
        twins: set[int] = set()
        while not self._end.wait(0.1):
            expected = self._strangers
            with contextlib.suppress(OSError, RuntimeError):  # the Mac is off
                running = self.mac.processes()
                if expected is self._strangers:
                    twins = self._judge(running, expected, twins)
                    self.samples += 1

    def _judge(self, running: list[Process], expected: dict[int, str], twins: set[int]) -> set[int]:
        gone = set(expected) - {each.pid for each in running}
        self._seen += [f"a stranger is dead: {expected[pid]}, pid {pid}" for pid in gone]
        if gone:
            self._strangers = {}
        machines = {each.pid for each in running if f"-pidfile {VM}/qemu.pid" in each.command}
        # A process that forks is two of its name for a moment: twins are those who stay.
        if len(machines & twins) > 1:
            self._seen.append(f"two VMs at once: pids {sorted(machines)}")
        now = self.counter()
        if now < self.highest:
            self._seen.append(f"the counter went back from {self.highest} to {now}")
        self.highest = max(self.highest, now)
        return machines

    def check(self) -> None:
        """Raise what the watch has seen."""
        if self._seen:
            raise SoakError("; ".join(dict.fromkeys(self._seen)))

    # What is awaited

    def answers(self) -> bool:
        """Docker answers, the container counts, and Docker still answers."""
        before = self.counter()
        if ping(self.mac) != "200":
            return False
        deadline = time.monotonic() + GROWTH_SECONDS
        while self.counter() <= before:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return ping(self.mac) == "200"

    def await_docker(self) -> float:
        """Wait until Docker answers and the counter grows; the seconds it took."""
        begun = time.monotonic()
        while not self.answers():
            self.check()
            if time.monotonic() - begun > self.limit:
                raise SoakError(f"Docker does not answer, or the counter not grow, after {self.limit:.0f} s")
        taken = time.monotonic() - begun
        self.check()
        if taken > self.limit:
            raise SoakError(f"it took {taken:.0f} s, more than {self.limit:.0f}")
        return taken

    def calm(self, seconds: float) -> None:
        """Docker goes on answering for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.answers():
                raise SoakError("Docker stopped answering without a fault")
            self.check()

    def undergo(self, fault: Fault) -> float:
        """Inject one fault and wait for the recovery: the seconds from where the fault had struck."""
        machine, whole = self.machines(), self.is_whole
        try:
            fault.inject(self)
            taken = self.await_docker()
        finally:
            for name in MAC_FAULTS:
                self.mac.heal(name)
        if fault.keeps_vm and whole and self.machines() != machine:
            raise SoakError("the VM was restarted without need")
        return taken

    def count_processes(self) -> int:
        return len(self.mac.processes())

    def check_processes(self) -> None:
        """No more processes than at the start; what runs for a moment may end first."""
        try:
            until(
                lambda: self.count_processes() <= self.at_rest,
                REST_SECONDS,
                "as few processes as at the start",
            )
        except SoakError:
            commands = "\n".join(each.command for each in self.mac.processes())
            raise SoakError(f"more than {self.at_rest} processes:\n{commands}") from None

    # Power

    def cut_power(self) -> None:
        """Off and on again: the strangers go with the rest."""
        self._strangers = {}
        self.mac.power_cut()
        self.mac.boot()

    def evidence(self) -> str:
        """The tails of the logs."""
        logs = [self.mac.records / "launchd.log", self.mac.directory / "console.log"]
        if self.mac.pid:
            logs += sorted(self.mac.path("/var/log").glob("*colima*"))
            logs.append(self.mac.path(f"{VM}/ha.stderr.log"))
        found = []
        for log in logs:
            with contextlib.suppress(OSError):
                lines = log.read_text(errors="replace").splitlines()[-EVIDENCE_LINES:]
                found.append("\n".join([f"==> {log.name}", *lines]))
        return "\n\n".join(found)


def first_start_seconds(mac: Mac) -> float:
    """How long the first start took, by Colima's own log (to the second)."""
    text = mac.path(LOG).read_text()
    moments = []
    for words in ("starting colima", "keeping Colima in the foreground"):
        match = re.search(rf'^time="([^"]+)" level=info msg="{words}', text, re.MULTILINE)
        if match is None:
            raise SoakError(f"{LOG} does not say: {words}")
        moments.append(datetime.fromisoformat(match[1].replace("Z", "+00:00")))
    return (moments[1] - moments[0]).total_seconds() + 1


# The faults. Each function returns when the fault has struck; from there the recovery is timed.


@dataclass(frozen=True)
class Fault:
    """Something that happens to a Mac."""

    name: str
    inject: Callable[[Soak], None]
    keeps_vm: bool = False  # the VM has to outlive it

    def __str__(self) -> str:
        return self.name


MAC_FAULTS = ("api-flaps", "docker-stays-dead", "socket-deaf", "start-fails")


def ours(mac: Mac, words: str) -> Process:
    """The process of the profile whose command has these words."""
    found = [each for each in mac.processes() if words in each.command]
    if len(found) != 1:
        raise SoakError(f"{len(found)} processes are {words}")
    return found[0]


def kill(mac: Mac, victim: Process) -> None:
    mac.run(["/bin/kill", "-KILL", str(victim.pid)])
    until(lambda: victim not in mac.processes(), 10, f"the end of {victim.command}")


def power_cut(soak: Soak) -> None:
    soak.cut_power()
    soak.meet_strangers()


def vm_killed(soak: Soak) -> None:
    kill(soak.mac, ours(soak.mac, f"-pidfile {VM}/qemu.pid"))


def clock_jump_while_down(soak: Soak) -> None:
    vm_killed(soak)
    soak.mac.set_clock(soak.chance.choice([-86400, -3600, 3600]))


def host_agent_killed(soak: Soak) -> None:
    """Where it is still there: once dead, nothing calls it back while Docker answers."""
    for each in soak.mac.processes():
        if HOST_AGENT in each.command:
            kill(soak.mac, each)


def engines(mac: Mac) -> list[int]:
    """The dockerd of the Mac's guest, as this machine numbers it."""
    place = (mac.records / "vm" / "colima").stat()
    parent = f"--cgroup-parent=/standin-{place.st_dev:x}-{place.st_ino:x}-".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(word.startswith(parent) for word in (entry / "cmdline").read_bytes().split(b"\0")):
                found.append(int(entry.name))
    return found


def docker_killed(soak: Soak) -> None:
    """dockerd dies, and systemd has given up on it."""
    soak.mac.fault("docker-stays-dead")
    for pid in engines(soak.mac):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not engines(soak.mac), 10, "the end of dockerd")


def socket_deaf(soak: Soak) -> None:
    """The SSH forward is lost: the socket is there, and nothing listens."""
    master = ours(soak.mac, f"ssh: {VM}/ssh.sock")
    soak.mac.fault("socket-deaf")
    until(lambda: master not in soak.mac.processes(), 10, "the end of the SSH master")


def stale_pids(soak: Soak) -> None:
    """After a power cut Lima's pid files name strangers; the home is locked until they do."""
    mac, home, locked = soak.mac, HOME, "/Users/locked"
    mac.path(home).rename(mac.path(locked))
    soak.cut_power()
    until(lambda: job_pid(mac), 10, "the job at boot")
    soak.meet_strangers()
    for name in ("ha.pid", "qemu.pid"):
        pid = soak.chance.choice(soak.strangers)
        mac.path(f"{locked}{VM.removeprefix(home)}/{name}").write_text(f"{pid}\n")
    mac.path(locked).rename(mac.path(home))


def api_flaps(soak: Soak) -> None:
    """Every third answer is none. It lasts a second or two: too short for misses in a row."""
    soak.mac.fault("api-flaps", "ggb")
    missed = 0
    while missed < 3:
        missed += ping(soak.mac) != "200"
    soak.mac.heal("api-flaps")


def start_fails(soak: Soak) -> None:
    """Someone restarts the job, and the start fails five times."""
    soak.mac.fault("start-fails", "5")
    soak.mac.run(["/bin/launchctl", "kickstart", "-k", f"system/{LABEL}"], timeout=330)
    left = soak.mac.records / "faults" / "start-fails"
    until(lambda: not left.exists(), 600, "five failed starts")


def programs_replaced(soak: Soak) -> None:
    """`brew upgrade` under the running VM."""
    line = 'cd "$1" && for file in *; do cp -p "$file" ".$file" && mv -f ".$file" "$file" || exit; done'
    soak.mac.run(["/bin/sh", "-c", line, "sh", "/opt/homebrew/bin"], user="alice")


def clock_jump(soak: Soak) -> None:
    soak.mac.set_clock(soak.chance.choice([-86400, -3600, 3600, 86400]))


WHILE_IT_RUNS = (
    Fault("brew files replaced", programs_replaced, keeps_vm=True),
    Fault("API flapping", api_flaps, keeps_vm=True),
    Fault("clock jump", clock_jump, keeps_vm=True),
    Fault("dockerd killed", docker_killed, keeps_vm=True),
    Fault("socket deaf", socket_deaf),
    Fault("VM killed", vm_killed),
    Fault("clock jump while down", clock_jump_while_down),
    Fault("host agent killed", host_agent_killed),
)
AT_A_START = (
    Fault("power cut", power_cut),
    Fault("stale pids of strangers", stale_pids),
    Fault("start fails five times", start_fails),
)
FAULTS = (*WHILE_IT_RUNS, *AT_A_START)


def throttle(mac: Mac, seconds: int) -> None:
    """Load the job anew with another ThrottleInterval (seconds), from a copy of its plist.

    A reboot loads the plist of the deploy again.
    """
    plist = plistlib.loads(mac.path(PLIST).read_bytes())
    copy = f"/private/tmp/{LABEL}.plist"
    mac.path(copy).write_bytes(plistlib.dumps({**plist, "ThrottleInterval": seconds}))
    mac.path(copy).chmod(0o644)
    mac.run(["/bin/launchctl", "bootout", f"system/{LABEL}"])
    until(lambda: not is_loaded(mac), 330, "the end of the job")
    mac.run(["/bin/launchctl", "bootstrap", "system", copy])


def deploy(mac: Mac, directory: Path, interval: int) -> None:
    """Deploy to the Mac from a checkout in `directory`, with a tick of the pulse every `interval` seconds."""
    env = {"PULSE": "true", "PULSE_INTERVAL": str(interval), "PULSE_MISSES": "3"}
    run = Checkout(directory, [mac], env=env, installers={"counter": COUNTER}).ssh("-y", timeout=300)
    if run.status:
        raise SoakError(f"the deploy failed\n{run.output}")


# The long form


def table(taken: dict[str, list[float]]) -> str:
    """A line for each fault: times injected, seconds to recover."""
    width = max(map(len, taken), default=0)
    lines = [f"{'fault':{width}}  times  median  worst"]
    for name, seconds in taken.items():
        if seconds:
            median = statistics.median(seconds)
            lines.append(f"{name:{width}}  {len(seconds):5}  {median:5.1f}s {max(seconds):5.1f}s")
        else:
            lines.append(f"{name:{width}}      0")
    return "\n".join(lines)


def draw(chance: random.Random) -> Iterator[Fault]:
    """The faults in random order, all of them before any comes again."""
    while True:
        faults = list(FAULTS)
        chance.shuffle(faults)
        yield from faults


def run(soak: Soak, minutes: float, interval: float) -> dict[str, list[float]]:
    """Inject for so long; the seconds that each recovery took. A SoakError says which fault it was.

    `interval` is the pulse's, in seconds. What fails again before its next look has never been well to it:
    then it takes the next larger step, and later.
    """
    taken: dict[str, list[float]] = {fault.name: [] for fault in FAULTS}
    end = time.monotonic() + 60 * minutes
    for fault in draw(soak.chance):
        if time.monotonic() > end:
            break
        try:
            soak.calm(interval + soak.chance.uniform(0, PAUSE_SECONDS))
            taken[fault.name].append(soak.undergo(fault))
        except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise SoakError(f"{fault}: {error}\n\n{soak.evidence()}\n\n{table(taken)}") from error
        print(f"{fault}: {taken[fault.name][-1]:.1f} s", flush=True)
    soak.check_processes()
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--interval", type=int, default=30, help="seconds between two ticks of the pulse")
    given = parser.parse_args()
    if lacking := missing():
        print("The stand-in Mac cannot boot here: " + "; ".join(lacking), file=sys.stderr)
        return 1
    print(f"seed {given.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="colima-pulse-soak.", dir="/var/tmp"))
    mac = Mac("soak", directory / "mac")
    try:
        mac.boot()
        deploy(mac, directory / "checkout", given.interval)
        with Soak(mac, random.Random(given.seed)) as soak:
            print(
                f"a start takes {soak.start_seconds:.0f} s, a recovery {soak.limit:.0f} s at most", flush=True
            )
            print(table(run(soak, given.minutes, given.interval)))
    except SoakError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        mac.destroy()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
