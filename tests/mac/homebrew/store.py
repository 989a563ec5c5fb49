"""What Lima keeps on disk, and what it makes of it (lima pkg/store, pkg/instance).

An instance is a directory of LIMA_HOME with a lima.yaml. Its state is read off its pid files and
ha.sock, with all the traps of the real thing: a pid file is believed when any process has that
number, even one that may not be signalled; a dead one is deleted by looking at it.
"""

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

from . import miniyaml
from .common import DATABASE, FatalError

VERSION = "2.2.0"
GIB = 1 << 30
NAME = re.compile(r"[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*")
MAGIC = b"QFI\xfb"


def lima_home() -> Path:
    """LIMA_HOME, or ~/.lima; made when missing, links resolved (L:dirnames LimaDir)."""
    home = os.environ.get("LIMA_HOME") or f"{os.environ.get('HOME', '')}/.lima"
    path = Path(home)
    path.mkdir(0o700, parents=True, exist_ok=True)
    return path.resolve()


def validate_name(name: str) -> None:
    if len(name) > 76:
        raise FatalError(f'identifier "{name}" greater than maximum length (76 characters)')
    if not NAME.fullmatch(name):
        raise FatalError(f"identifier '{name}' must match ^{NAME.pattern}$")
    if name.endswith((".yml", ".yaml")):
        raise FatalError(f'instance name "{name}" must not end with .yml or .yaml')


def size(value: Any) -> int:
    """Bytes of "2GiB", or of a plain number."""
    found = re.fullmatch(r"([0-9.]+)\s*(GiB|MiB|KiB|B)?", str(value))
    if not found:
        return 0
    unit = {"GiB": GIB, "MiB": 1 << 20, "KiB": 1 << 10}.get(found[2] or "B", 1)
    return int(float(found[1]) * unit)


def alive(pid: int) -> bool:
    """kill(pid, 0); a process of somebody else's counts (L:store ReadPIDFile)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z" or os.getppid() == 1


def read_pid(path: Path) -> int:
    """The pid of a pid file, 0 when there is none; that of a dead process is deleted."""
    try:
        pid = int(path.read_text())
    except (OSError, ValueError):
        return 0
    if alive(pid):
        return pid
    path.unlink(missing_ok=True)
    return 0


class VirtualDisk:
    """A disk image: its first bytes carry its identity and size; the rest, if any, is the guest's."""

    HEAD = 1024

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._head()[len(MAGIC) :])
        except (OSError, ValueError):
            return {}
        return content

    def write(self, **changes: Any) -> None:
        content = {"id": os.urandom(16).hex(), **self.read(), **changes}
        head = (MAGIC + json.dumps(content).encode()).ljust(self.HEAD - 1) + b"\n"
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644), "wb") as image:
            image.write(head)

    def _head(self) -> bytes:
        with self.path.open("rb") as image:
            return image.read(self.HEAD)


class Disk:
    """An additional disk: LIMA_HOME/_disks/NAME."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name = home, name

    @property
    def dir(self) -> Path:
        return self.home / "_disks" / self.name

    @property
    def image(self) -> VirtualDisk:
        return VirtualDisk(self.dir / "datadisk")

    @property
    def lock(self) -> Path:
        return self.dir / "in_use_by"

    def exists(self) -> bool:
        return self.image.path.exists()

    def holder(self) -> str:
        """The directory of the instance that uses the disk; also one that is gone."""
        try:
            return str(self.lock.readlink())
        except OSError:
            return ""

    def unlock(self) -> bool:
        try:
            self.lock.unlink()
        except OSError:
            return False
        return True


class Instance:
    """One instance as Lima sees it."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name = home, name
        self.config: dict[str, Any] = {}
        self.status = ""
        self.host_agent = self.driver = self.ssh_port = 0
        self.errors: list[str] = []

    @property
    def dir(self) -> Path:
        return self.home / self.name

    @property
    def vm_type(self) -> str:
        return str(self.config.get("vmType") or "qemu")

    @property
    def arch(self) -> str:
        return str(self.config.get("arch") or "aarch64")

    @property
    def disks(self) -> list[Disk]:
        listed = self.config.get("additionalDisks") or []
        return [Disk(self.home, str(entry["name"])) for entry in listed]

    @property
    def driver_pid_file(self) -> Path:
        return self.dir / f"{self.vm_type}.pid"

    @property
    def share(self) -> Path:
        """Where the guest's agent and engine listen (the stand-in's, not Lima's)."""
        disk = self.disks[0].image.read().get("id", "none") if self.disks else "none"
        return DATABASE / "vm" / self.name / disk / "run"

    def ask_host_agent(self) -> str:
        """GET /v1/info on ha.sock: what is wrong with it, or nothing."""
        path = str(self.dir / "ha.sock")
        if not Path(path).exists():
            return f"failed to connect to `{path}`: stat {path}: no such file or directory"
        prefix = f'failed to get Info from `{path}`: Get "http://lima-hostagent/v1/info": '
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(3)
            try:
                connection.connect(path)
                connection.sendall(b"GET /v1/info HTTP/1.1\r\nHost: lima-hostagent\r\n\r\n")
                answer = connection.recv(4096)
                self.ssh_port = json.loads(answer.partition(b"\r\n\r\n")[2])["sshLocalPort"]
            except ConnectionRefusedError:
                return f"{prefix}dial unix {path}: connect: connection refused"
            except TimeoutError:
                return f"{prefix}context deadline exceeded"
            except (OSError, ValueError):
                return f"{prefix}EOF"
        return ""

    def inspect(self) -> "Instance":
        """Find out the status (L:store/instance.go Inspect)."""
        self.host_agent = read_pid(self.dir / "ha.pid")
        if self.host_agent:
            error = self.ask_host_agent()
            if error:
                self.status = "Broken"
                self.errors.append(error)
        self.driver = read_pid(self.driver_pid_file)
        if not self.status:
            self.status = "Broken"
            if self.host_agent and self.driver:
                self.status = "Running"
            elif not self.host_agent and not self.driver:
                self.status = "Stopped"
            elif self.host_agent:
                self.errors.append("host agent is running but driver is not")
            else:
                self.errors.append(f"{self.vm_type} driver is running but host agent is not")
        return self

    def as_json(self) -> dict[str, Any]:
        """`limactl list --json` (L:limatype Instance); empty keys are left out as there."""
        content: dict[str, Any] = {
            "name": self.name,
            "hostname": self.name,
            "status": self.status,
            "dir": str(self.dir),
            "vmType": self.vm_type,
            "arch": self.arch,
            "cpus": int(self.config.get("cpus") or 0),
            "memory": size(self.config.get("memory")),
            "disk": size(self.config.get("disk")),
            "additionalDisks": self.config.get("additionalDisks"),
            "network": [{"lima": "user-v2"}],
            "sshLocalPort": self.ssh_port,
            "sshConfigFile": str(self.dir / "ssh.config"),
            "hostAgentPID": self.host_agent,
            "driverPID": self.driver,
            "errors": self.errors,
            "config": self.config,
            "sshAddress": "127.0.0.1",
            "protected": False,
            "limaVersion": VERSION,
            "HostOS": "darwin",
            "HostArch": host_arch(),
            "LimaHome": str(self.home),
            "IdentityFile": str(self.home / "_config" / "user"),
        }
        optional = ("additionalDisks", "hostAgentPID", "driverPID", "errors")
        return {k: v for k, v in content.items() if v or k not in optional}


def host_arch() -> str:
    """The Mac's architecture in Lima's spelling."""
    try:
        arch = json.loads((DATABASE / "machine.json").read_text())["arch"]
    except (OSError, ValueError, KeyError):
        arch = "arm64"
    return "aarch64" if arch == "arm64" else str(arch)


def read_instance(home: Path, name: str) -> Instance:
    """An instance by name; FileNotFoundError when it has no lima.yaml."""
    text = (home / name / "lima.yaml").read_text()
    instance = Instance(home, name)
    try:
        config = miniyaml.load(text)
        if not isinstance(config, dict):
            raise miniyaml.YamlError("yaml: cannot unmarshal into LimaYAML")
        instance.config = config
    except miniyaml.YamlError as error:
        instance.errors.append(str(error))
        instance.status = "Broken"
    return instance.inspect()


def instance_names(home: Path) -> list[str]:
    """Directories of LIMA_HOME that are no reserved ones."""
    entries = sorted(home.iterdir()) if home.is_dir() else []
    return [e.name for e in entries if e.is_dir() and e.name[0] not in "._"]


def instances(home: Path) -> list[Instance]:
    """All that have a lima.yaml."""
    found = []
    for name in instance_names(home):
        try:
            found.append(read_instance(home, name))
        except FileNotFoundError:
            continue
    return found


def locks(instance: Instance) -> list[Disk]:
    """Disks this instance holds."""
    return [d for d in instance.disks if d.holder() == str(instance.dir)]
