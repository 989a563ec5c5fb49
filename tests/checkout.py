"""A copy of this repository as a user has it, with a `.env`, installers and an inventory of its own."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import warm
from tests.mac.machine import Mac

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    "deploy.py",
    "settings.py",
    "facts",
    "operations",
    "files",
    "group_data",
    "deploys",
)
PYINFRA = [sys.executable, "-m", "pyinfra"]

# Waits short enough for a test that is to see them end; the stand-in's VM is up in two seconds.
WAITS = {
    "WAIT_SOCKET_MAX": "20",
    "WAIT_DOCKER_API_MAX": "20",
    "WAIT_QEMU_MAX": "20",
    "WAIT_PROVISION_MAX": "60",
    "WAIT_STABLE_REQUIRED": "2",
}
QUICK = {"HOMEBREW_USER": "alice", **WAITS}


@dataclass(frozen=True)
class Run:
    """What a run of pyinfra came to."""

    status: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def json(self) -> dict[str, Any]:
        """What `--json` printed."""
        parsed: dict[str, Any] = json.loads(self.stdout)
        return parsed

    @property
    def changed(self) -> list[str]:
        """With `-y --json`: the names of the operations that changed something."""
        results = self.json["results"]
        assert results["totals"]["hosts"] > 0, "no host was reached"
        return [name for each in results["operations"] if each["success"] for name in each["names"]]

    @property
    def would_change(self) -> list[str]:
        """With `--dry --json`: the names of the operations that would change something."""
        plan = self.json["plan"]
        return [name for each in plan if each["hosts_with_change"] for name in each["names"]]


def copy_repository(directory: Path) -> None:
    """Copy what a deploy needs of this repository; none of its user's settings or installers."""
    directory.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            # With byte code, which pyinfra does not write: each run would compile all of it.
            compileall.compile_dir(source, quiet=2)
            shutil.copytree(source, directory / part)
        elif source.exists():
            shutil.copy2(source, directory / part)
    (directory / "containers").mkdir()


class Checkout:
    """The repository in a directory of its own: deploys to stand-in Macs over SSH, or on one locally."""

    def __init__(
        self,
        directory: Path,
        macs: Sequence[Mac],
        env: Mapping[str, str] | None = None,
        installers: Mapping[str, str] | None = None,
        edits: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """`edits` has, by a file's path, what is to stand in it for what."""
        self.directory = directory
        self.macs = list(macs)
        copy_repository(directory)
        for file, changes in (edits or {}).items():
            text = (directory / file).read_text()
            for old, new in changes.items():
                assert old in text, f"{file} says no longer {old!r}: edit this test"
                text = text.replace(old, new)
            (directory / file).write_text(text)
        self.env = QUICK | dict(env or {})
        for name, text in (installers or {}).items():
            self.installer(name, text)
        self.write_inventory()

    @staticmethod
    def host_data(mac: Mac) -> dict[str, object]:
        ssh = mac.ssh
        return {
            "ssh_hostname": ssh.hostname,
            "ssh_port": ssh.port,
            "ssh_user": ssh.user,
            "ssh_key": str(ssh.key),
            "ssh_known_hosts_file": str(ssh.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }

    def installer(self, name: str, text: str | bytes) -> Path:
        path = self.directory / "containers" / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def write_inventory(self, **data: Mapping[str, object]) -> None:
        """Write `inventory.py`: the Macs, and more data of some by their names."""
        hosts = [(mac.name, self.host_data(mac) | dict(data.get(mac.name, {}))) for mac in self.macs]
        (self.directory / "inventory.py").write_text(f"macs = {hosts!r}\n")

    def write_env(self) -> None:
        """Write `env` to the checkout's `.env`."""
        (self.directory / ".env").write_text("".join(f"{k}={v}\n" for k, v in self.env.items()))

    def _environment(self) -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if not key.startswith("PYINFRA_")}

    def ssh(self, *arguments: str, timeout: float = 120, deploy: str | None = "deploy.py") -> Run:
        """`pyinfra inventory.py deploy.py ARGUMENTS` over SSH, without a terminal."""
        self.write_env()
        words = ["inventory.py", *([deploy] if deploy else []), *arguments]
        done = warm.run(words, self.directory, self._environment(), timeout)
        return Run(done.returncode, done.stdout, done.stderr)

    def local(self, *arguments: str, timeout: float = 120, deploy: str | None = "deploy.py") -> Run:
        """`pyinfra @local deploy.py ARGUMENTS` on the Mac itself, as its administrator."""
        self.write_env()
        (mac,) = self.macs
        admin = mac.user("admin")
        there = mac.path(admin.home) / "colima-pulse"
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(self.directory, there, ignore=shutil.ignore_patterns("inventory.py"))
        for path in (there, *there.rglob("*")):
            os.chown(path, admin.uid, 20)
        command = [*PYINFRA, "@local", *([deploy] if deploy else []), *arguments]
        done = mac.run(
            ["/bin/sh", "-c", 'cd ~/colima-pulse && exec "$@"', "sh", *command],
            user="admin",
            timeout=timeout,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)
