"""`make demo`: boot a stand-in Mac, deploy to it over SSH, show what runs, deploy again, see no change.

What it runs is what a user runs, in a copy of this checkout, and every command is shown before its output.
"""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.checkout import QUICK, ROOT, Checkout
from tests.mac.machine import Mac, missing


def show(command: Sequence[str], directory: Path | None = None, words: str | None = None) -> int:
    """Print a command line and run it, its output as it comes."""
    print(f"\n$ {words or shlex.join(command)}", flush=True)
    return subprocess.run(command, cwd=directory, check=False).returncode


def main() -> int:
    """Run the demo. Returns 0 when both deploys went well and the second one changed nothing."""
    if platform.system() != "Linux":
        print("The stand-in Mac needs Linux. On a Mac, use the Mac itself: make deploy")
        return 1
    if lacking := missing():
        print("The stand-in Mac cannot boot here:", *lacking, sep="\n  - ")
        return 1
    directory = Path(tempfile.mkdtemp(prefix="colima-pulse-demo.", dir="/var/tmp"))
    mac = Mac("macmini", directory / "mac")
    try:
        mac.boot()
        print(f"A stand-in Mac is up: {mac.name}, macOS on Apple Silicon, nobody logged in, no Docker.")
        checkout = Checkout(
            directory / "colima-pulse",
            [mac],
            env=QUICK | {"WAIT_STABLE_REQUIRED": "5"},
            installers={
                name: (ROOT / "containers" / source).read_text()
                for name, source in {"hello-world": "hello-world", "web": "example-web"}.items()
            },
        )
        checkout.write_env()
        deploy = [sys.executable, "-m", "pyinfra", "inventory.py", "deploy.py", "-y"]
        words = "pyinfra inventory.py deploy.py -y"
        if show(deploy, checkout.directory, words):
            return 1
        docker = "/opt/homebrew/bin/docker --host unix:///Users/alice/.colima/default/docker.sock"
        look = [
            f"sudo -u alice {docker} ps",
            "sudo launchctl print system/homebrew.mrcee.colima-pulse | head -4",
        ]
        for command in look:
            show(mac.ssh_argv(command), words=f"ssh macmini '{command}'")
        second = checkout.ssh("-y", "--json")
        if show(deploy, checkout.directory, words):
            return 1
        if second.status or second.changed:
            print(f"The second deploy changed something: {second.changed}\n{second.stderr}")
            return 1
        print("\nThe second deploy changed nothing.")
        return 0
    finally:
        mac.destroy()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
