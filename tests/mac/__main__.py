"""A stand-in Mac by hand: `python -m tests.mac up`, then run, ssh, reboot, faults and down.

COLIMA_PULSE_MACS in the environment names another directory for them.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.mac.machine import CHECKOUT, INSTALLED, Mac, User, missing

STATE = Path(os.environ.get("COLIMA_PULSE_MACS", "/var/tmp/colima-pulse-mac"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mac", description=__doc__)
    parser.add_argument("--name", default="mini", help="which Mac (default: mini)")
    parser.add_argument("--directory", type=Path, help=f"where it lies (default: {STATE}/NAME)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="make it if need be, and switch it on")
    up.add_argument("--arch", choices=("arm64", "x86_64"), default="arm64")
    up.add_argument("--macos", default="15.5", help="its version (default: 15.5)")
    up.add_argument("--user", action="append", default=[], help="one more account")
    up.add_argument("--sudo-password", help="sudo asks the administrator for this")
    up.add_argument("--bare", action="store_true", help="Homebrew with nothing installed")
    run = verbs.add_parser("run", help="run a command inside")
    run.add_argument("--user", default="root")
    run.add_argument("words", nargs="+", metavar="-- CMD")
    ssh = verbs.add_parser("ssh", help="log in, or run a command, over SSH")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    reboot = verbs.add_parser("reboot", help="restart it")
    reboot.add_argument("--hard", action="store_true", help="by a power cut")
    down = verbs.add_parser("down", help="switch it off and remove it")
    down.add_argument("--keep", action="store_true", help="keep its disk, to be switched on again")
    faults = verbs.add_parser("faults", help="list the faults, set NAME=VALUE, or heal NAME=")
    faults.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    return parser.parse_args()


def _up(directory: Path, given: argparse.Namespace) -> int:
    users = [User(name, 503 + index) for index, name in enumerate(given.user)]
    mac = Mac(
        given.name,
        directory,
        arch=given.arch,
        macos=given.macos,
        users=users,
        sudo_password=given.sudo_password,
        installed=() if given.bare else INSTALLED,
    )
    if not mac.pid:
        mac.boot_detached()
    config = directory / "ssh" / "config"
    config.write_text(mac.ssh_config())
    print(f"The stand-in Mac {given.name} is up.")
    print(f"  ssh -F {config} {given.name}")
    which = f"--directory {directory}" if given.directory else f"--name {given.name}"
    print(f"  python -m tests.mac {which} run -- launchctl print system")
    return 0


def _known_faults() -> dict[str, set[str]]:
    """Every fault that a stand-in's header names in backquotes, and where."""
    found: dict[str, set[str]] = {}
    here = Path(__file__).parent
    for path in sorted(here.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            head = path.read_text(errors="replace")[:4000]
            section = re.search(r"\bFaults?\b(.*?)(?:\n#?\s*\n|\"\"\"|\Z)", head, re.S)
            for name in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)", section[1] if section else ""):
                found.setdefault(name, set()).add(str(path.relative_to(CHECKOUT)))
    return found


def _faults(mac: Mac, settings: list[str]) -> int:
    for setting in settings:
        name, _, value = setting.partition("=")
        if value:
            mac.fault(name, value)
        else:
            mac.heal(name)
    active = {file.name: file.read_text().strip() for file in (mac.records / "faults").iterdir()}
    for name, places in sorted(_known_faults().items()):
        state = f"= {active.pop(name)}" if name in active else ""
        print(f"{name:28} {state:8} {' '.join(sorted(places))}")
    for name, value in active.items():
        print(f"{name:28} = {value}")
    return 0


def main() -> int:
    """The command line."""
    given = _arguments()
    directory = given.directory or STATE / given.name
    if lacks := missing():
        print("No stand-in Mac here. What is missing:", *lacks, sep="\n  ", file=sys.stderr)
        return 1
    if given.verb == "up":
        return _up(directory, given)
    if not (directory / "machine.json").exists():
        print(f"There is no Mac in {directory}: python -m tests.mac up", file=sys.stderr)
        return 1
    mac = Mac.attach(directory)
    if given.verb == "run":
        command, environment = mac.command(given.words, given.user)
        return subprocess.run(command, env=environment).returncode
    if given.verb == "ssh":
        return subprocess.run(mac.ssh_argv(*given.words)).returncode
    if given.verb == "faults":
        return _faults(mac, given.settings)
    if given.verb == "reboot" and given.hard:
        mac.power_cut()
        mac.boot_detached()
    elif given.verb == "reboot":
        mac.reboot()
    elif given.keep:
        mac.down()
    else:
        mac.destroy()
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
