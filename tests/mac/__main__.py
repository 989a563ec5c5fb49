"""A stand-in Mac by hand: `python -m tests.mac up`, then run, ssh, reboot, faults and down.

COLIMA_PULSE_MACS in the environment names another directory for them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.mac.machine import Mac, missing

STATE = Path(os.environ.get("COLIMA_PULSE_MACS", "/var/tmp/colima-pulse-mac"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mac", description=__doc__)
    parser.add_argument("--name", default="mini", help="which Mac (default: mini)")
    parser.add_argument("--directory", type=Path, help=f"where it lies (default: {STATE}/NAME)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="make it if need be, and switch it on")
    run = verbs.add_parser("run", help="run a command inside")
    run.add_argument("--user", default="root")
    run.add_argument("words", nargs="+", metavar="-- CMD")
    ssh = verbs.add_parser("ssh", help="log in, or run a command, over SSH")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    reboot = verbs.add_parser("reboot", help="restart it")
    reboot.add_argument("--hard", action="store_true", help="by a power cut")
    verbs.add_parser("down", help="switch it off and remove it")
    faults = verbs.add_parser("faults", help="list those that are on, set NAME=VALUE, or heal NAME=")
    faults.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    return parser.parse_args()


def _up(directory: Path, given: argparse.Namespace) -> int:
    mac = Mac(given.name, directory)
    if not mac.pid:
        mac.boot_detached()
    config = directory / "ssh" / "config"
    config.write_text(mac.ssh_config())
    print(f"The stand-in Mac {given.name} is up.")
    print(f"  ssh -F {config} {given.name}")
    which = f"--directory {directory}" if given.directory else f"--name {given.name}"
    print(f"  python -m tests.mac {which} run -- launchctl print system")
    return 0


def _faults(mac: Mac, settings: list[str]) -> int:
    for setting in settings:
        name, _, value = setting.partition("=")
        if value:
            mac.fault(name, value)
        else:
            mac.heal(name)
    for file in sorted((mac.records / "faults").iterdir()):
        print(f"{file.name:28} = {file.read_text().strip()}")
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
    else:
        mac.destroy()
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
