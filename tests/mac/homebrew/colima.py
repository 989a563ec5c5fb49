"""colima: start, stop and delete of v0.10.3 as Homebrew ships it, on macOS 13 or newer.

Where the behaviour is taken from: the sources of Colima (cmd/, app/, environment/) and recorded
runs. What Colima does over SSH goes through the guest's agent (agent.py), without a time limit.

Faults (files in /private/var/db/standin/faults):
  counted: image-download-fails, vz-anyway (the VM is made as vz whatever was asked);
  while they exist: stop-hangs, colima-ignores-term (the foreground process shrugs TERM off).
  A start that fails, hangs or is slow: see hostagent.py.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from . import agent, config, miniyaml
from .common import FatalError, Log, fault, hang_while, own_path, record, retitle, take_fault
from .config import FIXED, Profile
from .store import GIB, Disk, Instance, VirtualDisk, host_arch, instances, read_instance

VERSION = "0.10.3"
IMAGE_URL = (
    "https://github.com/abiosoft/colima-core/releases/download/v0.10.4/"
    "ubuntu-24.04-minimal-cloudimg-{arch}-docker.raw.gz"
)
LOG = Log()
DOCKER = Log(context="docker")
VM = Log(context="vm")

USAGE = """Usage:
  colima {command} [flags]
"""

GLOBAL = {"-p": "profile", "--profile": "profile"}
SWITCHES = ("-v", "--verbose", "--very-verbose", "-h", "--help")

# What a command accepts, kind by kind: name=its spellings.
START = {
    int: "cpu=--cpu --cpus -c; disk=--disk -d; rootDisk=--root-disk; sshPort=--ssh-port",
    float: "memory=--memory -m",
    str: "runtime=--runtime -r; vmType=--vm-type -t; arch=--arch -a; mountType=--mount-type;"
    " hostname=--hostname; cpuType=--cpu-type; diskImage=--disk-image -i; portForwarder=--port-forwarder",
    list: "mounts=--mount -V; env=--env; dns=--dns -n",
    bool: "foreground=--foreground -f; save=--save-config; autoActivate=--activate;"
    " sshConfig=--ssh-config; forwardAgent=--ssh-agent -s; binfmt=--binfmt; rosetta=--vz-rosetta;"
    " hostAddresses=--network-host-addresses",
}
FLAGS: dict[str, dict[type, str]] = {
    "start": START,
    "stop": {bool: "force=--force -f"},
    "delete": {bool: "force=--force -f; data=--data -d"},
}


# ---- the command line -----------------------------------------------------------------------


class UsageError(Exception):
    """A command line cobra refuses."""


def convert(spelling: str, kind: type, text: str) -> Any:
    if kind is list:
        return text.split(",")
    if kind is bool:
        if text in ("true", "false", "1", "0", "t", "f"):
            return text[0] in "t1"
    else:
        try:
            return kind(text)
        except ValueError:
            pass
    call = {bool: "ParseBool", int: "ParseInt", float: "ParseFloat"}[kind]
    reason = f'strconv.{call}: parsing "{text}": invalid syntax'
    raise UsageError(f'invalid argument "{text}" for "{spelling}" flag: {reason}')


def parse(flags: dict[type, str], words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """pflag: `--k v`, `--k=v`, `-kv`, `-k v`, flags and arguments mixed, `--` ends the flags."""
    known: dict[str, tuple[str, type]] = {word: (name, str) for word, name in GLOBAL.items()}
    known |= {word: (word.lstrip("-"), bool) for word in SWITCHES}
    for kind, listed in flags.items():
        for name, _, spellings in (each.strip().partition("=") for each in listed.split(";")):
            known |= dict.fromkeys(spellings.split(), (name, kind))
    given: dict[str, Any] = {}
    arguments: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            continue
        if word.startswith("--"):
            spelling, equals, text = word.partition("=")
            if spelling not in known:
                raise UsageError(f"unknown flag: {spelling}")
        else:
            spelling, equals, text = word[:2], word[2:], word[2:].removeprefix("=")
            if spelling not in known:
                raise UsageError(f"unknown shorthand flag: '{word[1]}' in {word}")
        name, kind = known[spelling]
        if kind is bool and not equals:
            text = "true"
        elif not equals:
            if not rest:
                raise UsageError(f"flag needs an argument: {spelling}")
            text = rest.pop(0)
        value = convert(spelling, kind, text)
        given[name] = given[name] + value if kind is list and name in given else value
    if len(arguments) > 1:
        raise UsageError(f"accepts at most 1 arg(s), received {len(arguments)}")
    return given, arguments


# ---- helpers --------------------------------------------------------------------------------


def need(program: str) -> None:
    """The dependency check of every command that talks to the VM (app.New)."""
    if shutil.which(program) is None:
        raise FatalError(
            f"Error: dependency check failed for VM: lima not found,"
            f" run 'brew install {program.removesuffix('ctl')}' to install"
        )


def find(profile: Profile) -> Instance | None:
    """The instance, as `limactl list` would tell; None too when that fails (as for root)."""
    if os.geteuid() == 0:
        return None
    try:
        return read_instance(profile.lima.resolve(), profile.id)
    except OSError:
        return None


def running(profile: Profile) -> bool:
    instance = find(profile)
    return instance is not None and instance.status == "Running"


def limactl(*arguments: str) -> int:
    """Run limactl; its output, log and all, comes out of our stdout, through a pipe."""
    sys.stdout.flush()
    process = subprocess.Popen(
        ["limactl", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    for line in process.stdout:
        os.write(1, line)
    return process.wait()


def guest(profile: Profile, *argv: str) -> tuple[int, str]:
    """A command in the guest: its exit code and output; 255 when nobody answers."""
    instance = find(profile)
    if instance is None:
        return 255, ""
    while fault("start-hangs") is not None:
        time.sleep(0.1)
    try:
        return agent.capture(instance, argv)
    except agent.UnreachableError:
        return 255, ""


def current_runtime(profile: Profile) -> str:
    """What the guest's /etc/colima/colima.json says; an error when there is no answer."""
    runtime = VirtualDisk(profile.instance_dir / "disk").read().get("runtime", "")
    if not runtime or guest(profile, "true")[0] != 0:
        raise FatalError("error retrieving current runtime: empty value")
    return str(runtime)


def state(profile: Profile) -> dict[str, Any]:
    try:
        return config.read(profile.state)
    except miniyaml.YamlError:
        return {}


def docker_context(*arguments: str) -> str:
    """`docker context ...` on the Mac: what it printed."""
    command = ["docker", "context", *arguments]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return answer.stdout + answer.stderr


# ---- start ----------------------------------------------------------------------------------


def merge(given: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Flags over colima.yaml (cmd/start.go prepareConfig)."""
    for key in (*config.defaults(), "forceDiskImage"):
        if key in given and key not in ("mounts", "env"):
            content[key] = given[key]
    content["diskImage"] = given.get("diskImage", "")
    network = {key: given[key] for key in ("dns", "hostAddresses") if key in given}
    content["network"] = {**(content.get("network") or {}), **network}
    if "mounts" in given:
        content["mounts"] = None if given["mounts"] == ["none"] else list(map(mount, given["mounts"]))
    if "env" in given:
        pairs = (entry.partition("=") for entry in given["env"])
        content["env"] = {**(content.get("env") or {}), **{k: v for k, _, v in pairs}}
    content["arch"] = host_arch() if content["arch"] in ("", "host") else content["arch"]
    content["arch"] = config.ARCHES.get(content["arch"], content["arch"])
    content["vmType"] = content["vmType"] or "vz"
    content["mountType"] = content["mountType"] or ("sshfs" if content["vmType"] == "qemu" else "virtiofs")
    return content


def mount(text: str) -> dict[str, Any]:
    """`path[:mountpoint][:w]`."""
    parts = text.split(":")
    writable = len(parts) > 1 and parts[-1] == "w"
    parts = parts[:-1] if writable else parts
    location = str(Path(parts[0]).expanduser())
    point = parts[1] if len(parts) > 1 else ""
    return {"location": location, "mountPoint": point, "writable": writable}


def validate(content: dict[str, Any]) -> None:
    """configmanager.ValidateConfig."""
    prefix = "error in config: "
    if content["vmType"] not in ("qemu", "vz", "krunkit"):
        raise FatalError(f"{prefix}invalid vmType: '{content['vmType']}'")
    if content["vmType"] == "qemu" and shutil.which("qemu-img") is None:
        reason = "qemu-img not found, run 'brew install qemu' to install"
        raise FatalError(f"{prefix}cannot use vmType: 'qemu', error: {reason}")


def check_lima() -> None:
    prefix = "lima compatibility error: error checking Lima version: "
    if shutil.which("limactl") is None:
        raise FatalError(prefix + 'exec: "limactl": executable file not found in $PATH')
    if subprocess.run(["limactl", "info"], capture_output=True).returncode != 0:
        raise FatalError(prefix + "exit status 1")


def load(profile: Profile) -> dict[str, Any]:
    try:
        content = config.read(profile.yaml)
    except miniyaml.YamlError as error:
        LOG.warning(f"config load failed: {error}")
        LOG.warning("reverting to default settings")
        content = {}
    return config.zeroed(content) if content else config.defaults()


def start(profile: Profile, given: dict[str, Any]) -> int:
    check_lima()
    content = merge(given, load(profile))
    old = state(profile)
    for key, name in FIXED.items():
        if old and old.get(key) and content[key] != old[key]:
            LOG.warning(f"'{name}' cannot be updated after initial setup, discarded")
            content[key] = old[key]
    validate(content)
    if given.get("save", os.environ.get("COLIMA_SAVE_CONFIG") != "false"):
        config.save(profile.yaml, content)
    need("lima")
    if running(profile):
        LOG.warning("already running, ignoring")
        return 0
    start_all(profile, content)
    if given.get("foreground"):
        return stay(profile)
    return 0


def start_all(profile: Profile, content: dict[str, Any]) -> None:
    """app.Start: the VM, then docker in it."""
    LOG.info(f"starting {profile.display}")
    LOG.info(f"runtime: {content['runtime']}")
    if content["runtime"] not in ("docker", "containerd", "incus", "none"):
        kind = content["runtime"]
        raise FatalError(f"error initiating container runtime: unsupported container runtime '{kind}'")
    if shutil.which("docker") is None and content["runtime"] == "docker":
        raise FatalError(
            "dependency check failed for docker: docker not found, run 'brew install docker' to install"
        )
    start_vm(profile, content)
    if content["runtime"] == "docker":
        start_docker(profile, content)
    LOG.info("done")


def host_addresses() -> list[str]:
    """The Mac's IPv4 addresses (util.HostIPAddresses)."""
    shown = subprocess.run(["/sbin/ifconfig"], capture_output=True, text=True, check=True).stdout
    return [ip for ip in re.findall(r"\tinet ([\d.]+) ", shown) if ip != "127.0.0.1"]


def lima_yaml(profile: Profile, content: dict[str, Any], format_disk: bool) -> dict[str, Any]:
    """What Colima makes of its configuration for Lima (environment/vm/lima/yaml.go)."""
    mounts = content.get("mounts")
    if mounts == []:
        mounts = [{"location": config.home(), "mountPoint": "", "writable": True}]
    vm_type = "qemu" if content["arch"] != host_arch() else content["vmType"]
    sockets = {"docker.sock": "/var/run/docker.sock",
               "containerd.sock": "/var/run/containerd/containerd.sock"}  # fmt: skip
    forwards: list[dict[str, Any]] = [
        {"guestSocket": target, "hostSocket": str(profile.socket(name).absolute()), "proto": "tcp"}
        for name, target in sockets.items()
    ]
    if profile.short == "default":
        legacy = str((profile.base / "docker.sock").absolute())
        forwards.append({"guestSocket": "/var/run/docker.sock", "hostSocket": legacy, "proto": "tcp"})
    if content["portForwarder"] == "none":
        forwards.append({"guestIP": "0.0.0.0", "proto": "any", "ignore": True})
    else:
        every = {"guestIP": "0.0.0.0", "guestIPMustBeZero": True, "hostIP": "0.0.0.0", "proto": "tcp"}
        forwards.append(every)
        addresses = ["127.0.0.1", *(host_addresses() if content["network"].get("hostAddresses") else [])]
        forwards += [{"guestIP": ip, "hostIP": ip, "proto": "tcp"} for ip in addresses]
    arch = "arm64" if content["arch"] == "aarch64" else "amd64"
    return {
        "vmType": vm_type,
        "arch": content["arch"],
        "images": [{"location": IMAGE_URL.format(arch=arch), "arch": content["arch"]}],
        "cpus": content["cpu"],
        "memory": f"{content['memory']:g}GiB",
        "disk": f"{content['rootDisk']}GiB",
        "additionalDisks": [{"name": profile.id, "format": format_disk, "fsType": "ext4"}],
        "mounts": mounts or [],
        "mountType": content["mountType"],
        "ssh": {"localPort": content["sshPort"], "loadDotSSHPubKeys": False},
        "containerd": {"system": False, "user": False},
        "networks": [{"lima": "user-v2"}],
        "portForwards": forwards,
        "env": content.get("env") or {},
    }


def start_vm(profile: Profile, content: dict[str, Any]) -> None:
    home = profile.lima.resolve()
    creating = not (profile.instance_dir / "lima.yaml").exists()
    step = "creating and starting" if creating else "starting"

    def fail(reason: str) -> FatalError:
        return FatalError(f"error starting vm: error at '{step}': {reason}")

    disk = Disk(home, profile.id)
    stored: dict[str, Any] = {}
    if profile.record.exists():
        stored = json.loads(profile.record.read_text())
    old = stored.get("disk_runtime")
    if stored.get("disk_formatted") and old != content["runtime"]:
        VM.info(f"{step} ...")
        raise fail(
            f"runtime disk provisioned for {old} runtime. Delete container data with"
            " 'colima delete --data' before using another runtime"
        )
    if not creating:
        resize(disk, content)
    VM.info(f"{step} ...")
    if not any(instance.status == "Running" for instance in instances(home)):
        shutil.rmtree(home / "_networks", ignore_errors=True)
    if creating:
        provide_image(content, fail)
    if not disk.exists():
        code = limactl("disk", "create", profile.id, "--size", f"{content['disk']}GiB")
        if code != 0:
            raise fail(f"exit status {code}")
    wanted = lima_yaml(profile, content, not stored.get("disk_formatted"))
    if take_fault("vz-anyway"):
        wanted["vmType"] = "vz"
    write_keys(home)
    if creating:
        path = Path(os.environ.get("TMPDIR") or "/tmp") / f"{profile.id}.yaml"
        try:
            path.write_text(miniyaml.dump(wanted))
        except OSError as error:
            raise fail(f"open {path}: {str(error.strerror).lower()}") from None
        code = limactl("start", "--tty=false", str(path))
        if code == 0:
            path.unlink(missing_ok=True)
    else:
        (profile.instance_dir / "lima.yaml").write_text(miniyaml.dump(wanted))
        # As colima's resume has it (environment/vm/lima/lima.go): not a word more.
        code = limactl("start", profile.id)
    if code != 0:
        raise fail(f"exit status {code}")
    if content["network"].get("hostAddresses"):
        for address in host_addresses():
            # environment/vm/lima/network.go replicateHostAddresses
            guest(profile, "sudo", "ip", "address", "add", f"{address}/24", "dev", "lo")
    profile.record.parent.mkdir(exist_ok=True)
    facts = {
        "disk_formatted": True,
        "disk_runtime": content["runtime"],
        "ramalama_provisioned": False,
    }
    profile.record.write_text(json.dumps(facts, indent=2) + "\n")
    saved = dict(content)
    saved["disk"] = disk.image.read()["size"] // GIB
    config.save(profile.state, saved)


def resize(disk: Disk, content: dict[str, Any]) -> None:
    """The data disk grows, and never shrinks."""
    current = disk.image.read().get("size", 0)
    wanted = int(content["disk"]) * GIB
    if current and wanted < current:
        VM.warning("disk size cannot be reduced, ignoring...")
    elif current and wanted > current:
        VM.info(f"resizing disk to {content['disk']}GiB...")
        code = subprocess.run(
            ["limactl", "disk", "resize", disk.name, "--size", f"{content['disk']}GiB"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ).returncode
        if code != 0:
            VM.warning(f"unable to resize disk: exit status {code}")


def provide_image(content: dict[str, Any], fail: Any) -> None:
    """The guest's image: from the cache, or downloaded, which can fail."""
    arch = "arm64" if content["arch"] == "aarch64" else "amd64"
    url = IMAGE_URL.format(arch=arch)
    image = config.cache_dir() / "caches" / Path(url).name
    fails = take_fault("image-download-fails")
    if image.exists() and not fails:
        return
    VM.info("downloading disk image ...")
    if fails:
        raise fail(
            f"error getting qcow image: error during image download: error resolving download URL"
            f" '{url}': resolve redirect failed for '{url}': DNS lookup failed for host"
            " 'github.com'. Check your network connection or DNS settings"
        )
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(b"QFI\xfb")


def write_keys(home: Path) -> None:
    directory = home / "_config"
    directory.mkdir(parents=True, exist_ok=True)
    for name, mode in (("user", 0o600), ("user.pub", 0o644), ("networks.yaml", 0o644)):
        path = directory / name
        if not path.exists():
            path.touch(mode)


def start_docker(profile: Profile, content: dict[str, Any]) -> None:
    """environment/container/docker: provision, start, context."""
    DOCKER.info("provisioning ...")
    image = VirtualDisk(profile.instance_dir / "disk")
    DOCKER.info("starting ...")
    code, text = guest(profile, "sudo", "systemctl", "restart", "docker.service")
    if code != 0:
        os.write(1, text.encode())
        raise FatalError(f"error starting docker: exit status {1 if code != 255 else code}")
    image.write(runtime=content["runtime"])
    host = f"host=unix://{profile.socket().absolute()}"
    if profile.id not in docker_context("ls", "-q").split():
        description = ["--description", profile.display, "--docker", host]
        os.write(1, docker_context("create", profile.id, *description).encode())
    if content.get("autoActivate", True):
        os.write(1, docker_context("use", profile.id).encode())


def stay(profile: Profile) -> int:
    """--foreground: wait for a signal, and notice nothing else (cmd/start.go awaitForInterruption)."""
    numbers = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    LOG.info("keeping Colima in the foreground, press ctrl+c to exit...")
    number = signal.sigwait(numbers)
    while fault("colima-ignores-term") is not None:
        number = signal.sigwait(numbers)
    name = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}[signal.Signals(number)]
    LOG.info(f"interrupted by: {name}")
    # Further signals stay pending, that is, ignored; children must not inherit the mask.
    for ignored in numbers:
        signal.signal(ignored, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    result = [1]
    error: list[BaseException] = []

    def work() -> None:
        try:
            result[0] = stop_all(profile, False)
        except FatalError as problem:
            error.append(problem)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    if error:
        raise error[0]
    return result[0]


# ---- stop, delete ------------------------------------------------------------------


def stop(profile: Profile, given: dict[str, Any]) -> int:
    need("lima")
    hang_while("stop-hangs")
    return stop_all(profile, bool(given.get("force")))


def stop_all(profile: Profile, force: bool) -> int:
    """app.Stop. v0.10.3 asks the guest first, without a limit, even when forced."""
    LOG.info(f"stopping {profile.display}")
    instance = find(profile)
    up = instance is not None and instance.status == "Running"
    if up:
        stop_runtime(profile)
    if not up and not force:
        VM.info("not running")
    else:
        VM.info("stopping ...")
        arguments = ["--force", profile.id] if force else [profile.id]
        code = limactl("stop", *arguments)
        if code != 0:
            raise FatalError(f"error stopping vm: error at 'stopping': exit status {code}")
    LOG.info("done")
    return 0


def stop_runtime(profile: Profile) -> None:
    try:
        runtime = current_runtime(profile)
    except FatalError as error:
        LOG.warning(f"error retrieving runtimes: {error}")
        return
    if runtime == "docker":
        DOCKER.info("stopping ...")
        code, _ = guest(profile, "sudo", "systemctl", "stop", "docker.service")
        if code == 0:
            os.write(1, b"Warning: Stopping docker.service, but it can still be activated by:\n"
                        b"  docker.socket\n")  # fmt: skip
        os.write(1, docker_context("rm", "--force", profile.id).encode())


def confirm(question: str) -> bool:
    """A prompt; end of file means no."""
    os.write(1, f"{question} [y/N] \x1b[0m".encode())
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def delete(profile: Profile, given: dict[str, Any]) -> int:
    data = bool(given.get("data"))
    if not given.get("force"):
        if not confirm(f"are you sure you want to delete {profile.display} and all settings?"):
            return 0
        question = "this will delete ALL container data. Are you sure you want to continue?"
        if data and not confirm(question):
            return 0
    need("lima")
    LOG.info(f"deleting {profile.display}")
    if running(profile):
        try:
            if current_runtime(profile) == "docker":
                DOCKER.info("deleting ...")
                os.write(1, docker_context("rm", "--force", profile.id).encode())
        except FatalError:
            pass
        VM.info("deleting ...")
    code = limactl("delete", "--force", profile.id)
    if code != 0:
        raise FatalError(f"error deleting vm: exit status {code}")
    shutil.rmtree(profile.dir, ignore_errors=True)
    if data:
        LOG.info("deleting container data")
        if profile.record.exists():
            subprocess.run(
                ["limactl", "disk", "delete", "--force", profile.id],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            profile.record.unlink()
    LOG.info("done")
    return 0


def run(words: list[str]) -> int:
    """Find the command and do it."""
    if words[:1] == ["--version"]:
        print(f"colima version {VERSION}")
        return 0
    if not words or words[0] not in FLAGS:
        raise UsageError(f'unknown command "{(words or [""])[0]}" for "colima"')
    given, arguments = parse(FLAGS[words[0]], words[1:])
    chosen = given.get("profile") or "".join(arguments) or os.environ.get("COLIMA_PROFILE", "")
    commands = {"start": start, "stop": stop, "delete": delete}
    return commands[words[0]](Profile.of(chosen), given)


def main() -> int:
    retitle([str(own_path()), *sys.argv[1:]])
    record(sys.argv)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    words = sys.argv[1:]
    try:
        return run(list(words))
    except UsageError as error:
        verb = next((word for word in words if not word.startswith("-")), "[command]")
        print(f"Error: {error}\n{USAGE.format(command=verb)}", file=sys.stderr, flush=True)
        LOG.write("fatal", str(error))
        return 1
    except FatalError as error:
        LOG.write("fatal", str(error))
        return 1
