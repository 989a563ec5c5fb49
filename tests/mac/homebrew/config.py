"""Where Colima keeps things (its config package), and colima.yaml."""

import os
from pathlib import Path
from typing import Any

from . import miniyaml
from .common import FatalError, Log
from .store import host_arch

LOG = Log()

FIXED = {  # what an instance keeps for life: colima.yaml's key, and what the warning calls it
    "arch": "architecture",
    "runtime": "runtime",
    "vmType": "virtual machine type",
    "mountType": "volume mount type",
}
ARCHES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "arm": "aarch64"}


def defaults() -> dict[str, Any]:
    """A profile nobody has configured, on macOS 13 or newer."""
    return {
        "cpu": 2,
        "disk": 100,
        "memory": 2,
        "arch": host_arch(),
        "runtime": "docker",
        "modelRunner": "docker",
        "hostname": "",
        "kubernetes": {
            "enabled": False,
            "version": "v1.35.0+k3s1",
            "k3sArgs": ["--disable=traefik"],
            "port": 0,
        },
        "autoActivate": True,
        "network": {
            "address": False,
            "mode": "shared",
            "interface": "en0",
            "preferredRoute": False,
            "dns": None,
            "dnsHosts": {},
            "hostAddresses": False,
            "gatewayAddress": "192.168.5.2",
        },
        "forwardAgent": False,
        "docker": {},
        "vmType": "",
        "portForwarder": "ssh",
        "rosetta": False,
        "binfmt": True,
        "nestedVirtualization": False,
        "mountType": "",
        "mountInotify": False,
        "cpuType": "",
        "provision": None,
        "sshConfig": True,
        "sshPort": 0,
        "mounts": [],
        "diskImage": "",
        "forceDiskImage": False,
        "rootDisk": 20,
        "env": {},
    }


def home() -> str:
    value = os.environ.get("HOME")
    if not value:
        raise FatalError("cannot fetch required directory: $HOME is not defined")
    return value


def base_dir() -> Path:
    """v0.7.0 to v0.10.3 (config/files.go)."""
    user = Path(home())
    wanted = os.environ.get("COLIMA_HOME", "")
    if wanted and Path(wanted).exists():
        return Path(wanted)
    default, xdg = user / ".colima", os.environ.get("XDG_CONFIG_HOME")
    if default.exists():
        if xdg is not None:
            LOG.warning("found ~/.colima, ignoring $XDG_CONFIG_HOME...")
            LOG.warning("delete ~/.colima to use $XDG_CONFIG_HOME as config directory")
            LOG.warning(f'or run `mv ~/.colima "{Path(xdg, "colima")}"`')
        return default
    return default if xdg is None else Path(xdg, "colima")


def cache_dir() -> Path:
    """COLIMA_CACHE_HOME (v0.10.2), XDG_CACHE_HOME, else macOS's place."""
    if wanted := os.environ.get("COLIMA_CACHE_HOME"):
        return Path(wanted)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg, "colima")
    return Path(home(), "Library/Caches/colima")


class Profile:
    """A profile: its names and its places."""

    def __init__(self, base: Path, short: str) -> None:
        self.base, self.short = base, short

    @staticmethod
    def of(name: str) -> "Profile":
        short = name.removeprefix("colima-") or "default"
        profile = Profile(base_dir(), "default" if name in ("", "colima", "default") else short)
        profile.lima.mkdir(parents=True, exist_ok=True)
        os.environ["LIMA_HOME"] = str(profile.lima)
        return profile

    @property
    def id(self) -> str:
        return "colima" if self.short == "default" else f"colima-{self.short}"

    @property
    def display(self) -> str:
        return "colima" if self.short == "default" else f"colima [profile={self.short}]"

    @property
    def dir(self) -> Path:
        return self.base / self.short

    @property
    def lima(self) -> Path:
        return Path(os.environ.get("LIMA_HOME") or self.base / "_lima")

    @property
    def instance_dir(self) -> Path:
        return self.lima / self.id

    @property
    def yaml(self) -> Path:
        return self.dir / "colima.yaml"

    @property
    def state(self) -> Path:
        """The configuration of the last successful start."""
        return self.instance_dir / "colima.yaml"

    @property
    def record(self) -> Path:
        return self.base / "_store" / f"{self.id}.json"

    def socket(self, name: str = "docker.sock") -> Path:
        return self.dir / name


def read(path: Path) -> dict[str, Any]:
    """A colima.yaml; empty when there is none or it names no runtime (config.go Empty)."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    try:
        content = miniyaml.load(text)
    except miniyaml.YamlError as error:
        raise miniyaml.YamlError(f"could not load config from file: {error}") from None
    if content is None:
        return {}
    kinds = {"cpu": int, "disk": int, "memory": int | float, "runtime": str, "vmType": str}
    for key, kind in kinds.items():
        value = content.get(key) if isinstance(content, dict) else content
        if value is not None and not isinstance(value, kind):
            text = f"cannot unmarshal !!str `{value}` into {key}"
            raise miniyaml.YamlError(f"could not load config from file: yaml: unmarshal errors:\n  {text}")
    return content if content.get("runtime") else {}


def zeroed(content: dict[str, Any]) -> dict[str, Any]:
    """A read configuration: what it leaves out is zero, not the default; the unknown is dropped."""
    keep_default = {"rootDisk", "autoActivate", "binfmt", "portForwarder", "hostname"}
    merged = defaults()
    for key, value in merged.items():
        if key in content:
            merged[key] = content[key]
        elif key not in keep_default:
            merged[key] = None if key == "mounts" else type(value)() if value is not None else None
    return merged


def save(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(miniyaml.dump(content))
