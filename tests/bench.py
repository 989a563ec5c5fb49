"""`make bench`: what a deploy costs on stand-in Macs, each figure beside what it is measured against.

    python -m tests.bench [--runs N] [--boot-seconds N] [--only converged|first|resize|fleet ...]

A benchmark, not a test: it exits 0 whatever it finds. What is compared is run in turns, so that whatever else
this machine does falls on both alike, and of several runs the median counts. Over SSH, with byte code cached.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tests.checkout import PYINFRA, Checkout
from tests.mac.machine import STANDIN, Mac, missing

# What a deploy may cost.
CONVERGED, COMMANDS, FIRST, RESIZE, FLEET = 2.2, 12, 1.2, 1.2, 4.0
STABLE_SECONDS = 5
FLEETS = (1, 5, 20)
SECTIONS = ("converged", "first", "resize", "fleet")
DEPLOY = ("deploy.py", "-y")
WEB = "docker run --name web -d --restart always -p 8080:80 nginx\n"
START = "start --profile default --runtime docker --vm-type qemu --cpu 2 --memory 2 --disk 20".split()

# In the place of the stand-in's own ForceCommand: answers what a Mac has answered before, after as long as it
# took, and computes nothing. So the Macs of a fleet do not share the processors of this machine.
RECORDED = f"""#!/bin/sh
printf '%s\\0' "$SSH_ORIGINAL_COMMAND" >>/private/var/db/standin/ssh.log
set -- $(printf %s "$SSH_ORIGINAL_COMMAND" | {STANDIN}/host/bin/cksum)
answer=/private/var/db/standin/recorded/$1-$2
read -r seconds <"$answer.seconds" || exit 1
{STANDIN}/host/bin/sleep "$seconds"
exec {STANDIN}/host/bin/cat "$answer"
"""


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, against what, and the aim that their ratio has.

    `allowed` is what of the measured is not compared. Without `against` the measured itself has the aim.
    """

    what: str
    measured: float
    against: float | None = None
    aim: float | None = None
    allowed: float = 0
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        return None if self.against is None else (self.measured - self.allowed) / self.against

    @property
    def holds(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.aim is None:
            return None
        return (self.measured if self.ratio is None else self.ratio) <= self.aim

    @property
    def cells(self) -> list[str]:
        def amount(value: float) -> str:
            return f"{value:.2f} s" if self.unit == "s" else f"{value:.0f} {self.unit}".rstrip()

        aim = "" if self.aim is None else f"{self.aim:g} : 1" if self.against is not None else f"{self.aim:g}"
        return [
            self.what,
            amount(self.measured),
            "" if self.against is None else amount(self.against),
            "" if self.ratio is None else f"{self.ratio:.2f} : 1",
            aim + (f" + {self.allowed:g} s" if self.allowed else ""),
            {None: "", True: "yes", False: "NO"}[self.holds],
        ]


def table(rows: Sequence[Row]) -> str:
    """The rows in columns, the figures aligned to the right."""
    lines = [["", "measured", "against", "ratio", "at most", "holds"], *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = []
    for line in lines:
        first, *rest = (
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        shown.append("   ".join([first, *rest]).rstrip())
    return "\n".join(shown)


def in_turns(runs: int, *actions: Callable[[], float]) -> list[float]:
    """Run the actions one after the other, `runs` times, and return the median of what each returned."""
    measured = [[action() for action in actions] for _ in range(runs)]
    return [statistics.median(each) for each in zip(*measured, strict=True)]


class Outage:
    """Asks a Mac's Docker whether it is there, all the time; `seconds` is the longest time it was not."""

    def __init__(self, mac: Mac) -> None:
        self._address = str(mac.path("/Users/alice/.colima/default/docker.sock"))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seconds = 0.0

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(self._address)
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in client.recv(64)
        return False

    def _watch(self) -> None:
        last = time.monotonic()
        # What is away when it ends is away until it answers.
        while not self._end.wait(0.02) or not self._answers():
            if self._answers():
                self.seconds = max(self.seconds, time.monotonic() - last)
                last = time.monotonic()
        self.seconds = max(self.seconds, time.monotonic() - last)

    def __enter__(self) -> Outage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


class Bench:
    """The stand-in Macs of a benchmark, made when they are needed, and what can be timed on them."""

    def __init__(self, directory: Path, runs: int, boot_seconds: float) -> None:
        self.directory = directory
        self.runs = runs
        self.boot_seconds = boot_seconds
        self._macs: list[Mac] = []

    def close(self) -> None:
        for mac in self._macs:
            mac.destroy()

    def say(self, what: str) -> None:
        print(f"... {what}", file=sys.stderr, flush=True)

    def mac(self) -> Mac:
        """A fresh Mac, whose VM takes its time to boot."""
        name = f"mac{len(self._macs)}"
        mac = Mac(name, self.directory / name)
        self._macs.append(mac)
        mac.boot()
        mac.fault("start-slow", f"{self.boot_seconds:g}")
        return mac

    def checkout(self, mac: Mac, installers: Mapping[str, str] | None = None) -> Checkout:
        made = Checkout(
            self.directory / f"checkout-{mac.name}",
            [mac],
            # As long as the defaults, which the tests' own shorten.
            env={
                "WAIT_STABLE_REQUIRED": str(STABLE_SECONDS),
                "WAIT_QEMU_MAX": "120",
                "WAIT_SOCKET_MAX": "180",
                "WAIT_DOCKER_API_MAX": "180",
            },
            installers=installers,
        )
        made.write_env()
        return made

    @cached_property
    def deployed(self) -> tuple[Mac, Checkout]:
        """A Mac on which all is as it should be: Docker, the pulse and a container."""
        self.say("a Mac is deployed to")
        mac = self.mac()
        checkout = self.checkout(mac, {"web": WEB})
        self.pyinfra(checkout, "inventory.py", *DEPLOY)
        return mac, checkout

    @cached_property
    def bare(self) -> Mac:
        """A Mac on which somebody has typed `colima start`."""
        mac = self.mac()
        self.colima(mac, *START)
        return mac

    def pyinfra(self, checkout: Checkout, *arguments: str) -> float:
        """Run pyinfra as its user would, and return how long it took, in seconds."""
        ignored = ("PYINFRA_", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
        start = time.monotonic()
        done = subprocess.run(
            [*PYINFRA, *arguments],
            cwd=checkout.directory,
            env={key: value for key, value in os.environ.items() if not key.startswith(ignored)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - start
        if done.returncode:
            raise SystemExit(f"pyinfra {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}")
        return seconds

    def colima(self, mac: Mac, *arguments: str) -> float:
        """Run colima as the user, and return how long it took, in seconds."""
        start = time.monotonic()
        # What it leaves behind must not hold the pipe of this command.
        quiet = ["/bin/sh", "-c", 'exec "$@" >/dev/null 2>&1 </dev/null', "sh"]
        path = "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        mac.run([*quiet, "colima", *arguments], user="alice", env={"PATH": path}, timeout=600)
        return time.monotonic() - start

    def inventory(self, hosts: int) -> str:
        """An inventory of the deployed Mac under so many names."""
        mac, checkout = self.deployed
        named = [(f"mac{number}", checkout.host_data(mac)) for number in range(1, hosts + 1)]
        (checkout.directory / f"inventory-{hosts}.py").write_text(f"macs = {named!r}\n")
        return f"inventory-{hosts}.py"

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Have the deployed Mac answer from what it answers now, each time after as long as it takes it."""
        mac, checkout = self.deployed
        answers = mac.records / "recorded"
        answers.mkdir(exist_ok=True)
        # Whatever was measured before, from here on nothing is left to do.
        self.pyinfra(checkout, "inventory.py", *DEPLOY)
        sent = len(mac.ssh_commands())
        self.pyinfra(checkout, "inventory.py", *DEPLOY)
        for command in set(mac.ssh_commands()[sent:]):
            seconds = []
            for _ in range(3):
                start = time.monotonic()
                said = mac.run(["/bin/sh", "-c", command], user="admin", check=False).stdout
                seconds.append(time.monotonic() - start)
            summed = subprocess.run(["cksum"], input=command, capture_output=True, text=True, check=True)
            answer = answers / "-".join(summed.stdout.split()[:2])
            answer.write_text(said)
            answer.with_suffix(".seconds").write_text(f"{min(seconds):.3f}\n")
        force_command = mac.path(f"{STANDIN}/ssh-command")
        real = force_command.read_text()
        force_command.write_text(RECORDED)
        try:
            yield
        finally:
            force_command.write_text(real)

    def converged(self) -> list[Row]:
        """A deploy that changes nothing, against pyinfra that runs nothing."""
        mac, checkout = self.deployed
        self.say("a converged Mac")
        inventory = self.inventory(1)
        self.pyinfra(checkout, inventory, *DEPLOY)
        sent = len(mac.ssh_commands())
        self.pyinfra(checkout, inventory, *DEPLOY)
        commands = len(mac.ssh_commands()) - sent
        measured, against = in_turns(
            2 * self.runs,
            partial(self.pyinfra, checkout, inventory, *DEPLOY),
            partial(self.pyinfra, checkout, inventory, "exec", "--", "true"),
        )
        return [
            Row("converged deploy -y : exec -- true", measured, against, CONVERGED),
            Row("commands on a converged Mac", commands, aim=COMMANDS, unit=""),
        ]

    def first(self) -> list[Row]:
        """A first deploy, against `colima start` typed on a Mac of its own."""
        self.say(f"first deploys; each VM takes {self.boot_seconds:g} s to boot")

        def deploy() -> float:
            checkout = self.checkout(self.mac())
            return self.pyinfra(checkout, "inventory.py", *DEPLOY)

        measured, against = in_turns(self.runs, deploy, lambda: self.colima(self.mac(), *START))
        return [Row("first deploy : colima start", measured, against, FIRST, allowed=STABLE_SECONDS)]

    def resize(self) -> list[Row]:
        """How long Docker is away while the VM gets more memory, against `colima restart` by hand."""
        mac, checkout = self.deployed
        self.say("resizes")
        sizes = [4 + number for number in range(self.runs)]

        def deploy() -> float:
            with Outage(mac) as outage:
                self.pyinfra(checkout, "inventory.py", *DEPLOY, "--data", f"colima_memory={sizes.pop()}")
            return outage.seconds

        def restart() -> float:
            with Outage(self.bare) as outage:
                self.colima(self.bare, "stop")
                self.colima(self.bare, *START)
            return outage.seconds

        measured, against = in_turns(self.runs, deploy, restart)
        return [Row("Docker away, resize : VM restart", measured, against, RESIZE)]

    def fleet(self) -> list[Row]:
        """Many converged Macs at once, against one: under so many names, each with CPUs of its own.

        They answer what one answered before, after as long as it took, and compute nothing.
        """
        self.say("a fleet")
        _, checkout = self.deployed
        inventories = [self.inventory(hosts) for hosts in FLEETS]
        with self.recorded():
            one, *more = in_turns(
                self.runs, *(partial(self.pyinfra, checkout, each, *DEPLOY) for each in inventories)
            )
        return [
            Row(f"{hosts} Macs : 1 Mac", seconds, one, FLEET if hosts == FLEETS[-1] else None)
            for hosts, seconds in zip(FLEETS[1:], more, strict=True)
        ]


def main() -> int:
    """The command line. Returns 0 when it could measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each (default: 3)")
    parser.add_argument("--boot-seconds", type=float, default=20, help="of a VM (default: 20)")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    given = parser.parse_args()
    if platform.system() != "Linux" or missing():
        print("The stand-in Mac cannot boot here:", *missing(), sep="\n  - ")
        return 1
    directory = Path(tempfile.mkdtemp(prefix="colima-pulse-bench.", dir="/var/tmp"))
    load = os.getloadavg()[0]
    bench = Bench(directory, given.runs, given.boot_seconds)
    print(
        f"{os.cpu_count()} CPUs, {load:.1f} processes in line when it began; medians of {given.runs} runs\n"
    )
    rows: list[Row] = []
    try:
        for section in SECTIONS:
            rows += getattr(bench, section)() if section in given.only else []
    finally:
        bench.close()
        shutil.rmtree(directory, ignore_errors=True)
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
