"""limactl: Lima's command, for what Colima and people use of it.

Faults (files in /private/var/db/standin/faults): list-hangs (while it exists), list-garbage
(counted), start-hangs (while it exists, also `shell` gets no answer); more in hostagent.py.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import agent, miniyaml
from .common import (
    FatalError,
    Log,
    fault,
    hang_while,
    own_path,
    record,
    retitle,
    spawn_group,
    start_detached,
    take_fault,
)
from .store import (
    GIB,
    VERSION,
    Disk,
    Instance,
    host_arch,
    instances,
    lima_home,
    locks,
    read_instance,
    read_pid,
    size,
    validate_name,
)

LOG = Log()
START_SECONDS = 600
STOP_SECONDS = 190
USAGE = "Usage:\n  limactl [command]\n"


def program() -> str:
    """This program's own path, as Homebrew links it."""
    return str(own_path())


def network_dir(home: Path) -> Path:
    return home / "_networks" / "user-v2"


def usernet_sockets(home: Path) -> dict[str, Path]:
    return {kind: network_dir(home) / f"user-v2_{kind}.sock" for kind in ("ep", "qemu", "fd")}


# ---- networks -------------------------------------------------------------------------------


def start_usernet(home: Path) -> None:
    """Start the user-v2 network unless its pid file names a process (L:networks/usernet)."""
    directory = network_dir(home)
    pid_file = directory / "usernet_user-v2.pid"
    if read_pid(pid_file):
        path = usernet_sockets(home)["qemu"]
        with socket.socket(socket.AF_UNIX) as network:
            try:
                network.connect(str(path))
            except OSError as error:
                reason = str(error.strerror).lower()
                raise FatalError(f"error calling fd_connect: dial unix {path}: connect: {reason}") from None
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("usernet.user-v2.stdout.log", "usernet.user-v2.stderr.log"):
        (directory / name).touch()
    sockets = usernet_sockets(home)
    start_detached(
        [
            program(), "usernet", "-p", str(pid_file), "-e", str(sockets["ep"]),
            "--listen-qemu", str(sockets["qemu"]), "--listen", str(sockets["fd"]),
            "--subnet", "192.168.5.0/24",
        ]
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (read_pid(pid_file) and sockets["fd"].exists()):
        if time.monotonic() > deadline:
            raise FatalError("usernet did not start")
        time.sleep(0.01)


def reconcile(home: Path) -> None:
    """Stop the network when no instance runs any more (L:networks/reconcile)."""
    if any(instance.status == "Running" for instance in instances(home)):
        return
    pid_file = network_dir(home) / "usernet_user-v2.pid"
    pid = read_pid(pid_file)
    if pid:
        try:
            os.kill(pid, signal.SIGINT)
        except PermissionError as error:
            LOG.write("error", f"failed to stop usernet: {error.strerror}")
        wait_until(lambda: not read_pid(pid_file), 5)


def usernet(arguments: list[str]) -> int:
    """The network process: it only has to be there."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    retitle([program(), *sys.argv[1:]])
    pid_file = Path(options["-p"])
    paths = [Path(options[key]) for key in ("-e", "--listen-qemu", "--listen")]
    listeners = []
    for path in paths:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listeners.append(listener)
    pid_file.write_text(f"{os.getpid()}\n")
    numbers = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    signal.sigwait(numbers)
    if read_pid(pid_file) == os.getpid():  # another may have taken over since
        for path in (pid_file, *paths):
            path.unlink(missing_ok=True)
    return 0


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# ---- start ----------------------------------------------------------------------------------


def create(home: Path, path: Path, name: str) -> Instance:
    """Make the instance of a template file."""
    name = name or path.name.removesuffix(".yaml").removesuffix(".yml")
    validate_name(name)
    directory = home / name
    if len(str(directory / "ssh.sock.1234567890123456")) >= 104:
        raise FatalError(
            f"instance name `{name}` too long: `{directory}/ssh.sock.1234567890123456` must be less"
            " than UNIX_PATH_MAX=104 characters"
        )
    text = path.read_text()
    config = miniyaml.load(text)
    LOG.info("Terminal is not available, proceeding without opening an editor")
    directory.mkdir(0o700)
    (directory / "lima.yaml").write_text(text)
    (directory / "lima-version").write_text(VERSION)
    (directory / "lima-version").chmod(0o444)
    LOG.write("info", f"Starting the instance `{name}` with internal VM driver `{config['vmType']}`")
    location = config["images"][0]["location"]
    LOG.write(
        "info", "Attempting to download the image",
        arch=config["arch"], digest="", location=location,
    )  # fmt: skip
    LOG.info(f"Downloaded the image from `{location}`")
    LOG.info(f"Resize instance {name}'s disk from 2.998GiB to {config['disk']}")
    (directory / "disk").write_bytes(b"QFI\xfb")
    (directory / "cidata.iso").touch()
    (directory / "cloud-config.yaml").write_text("#cloud-config\n")
    return read_instance(home, name)


def start(arguments: list[str]) -> int:
    home = lima_home()
    words = [word for word in arguments if not word.startswith("-")]
    names = [w.removeprefix("--name=") for w in arguments if w.startswith("--name=")]
    target = words[0] if words else "default"
    if target.endswith((".yaml", ".yml")):
        instance = create(home, Path(target), names[0] if names else "")
    else:
        validate_name(target)
        try:
            instance = read_instance(home, target)
        except FileNotFoundError:
            raise FatalError(f'instance "{target}" does not exist') from None
        for error in instance.errors:
            message = f'Instance "{instance.name}" has configuration errors'
            LOG.write("error", message, error=error)
        LOG.info(f"Using the existing instance `{instance.name}`")
        if instance.errors:
            raise FatalError(f"errors inspecting instance: [{' '.join(instance.errors)}]")
        if instance.status == "Running":
            command = f"limactl shell {instance.name}"
            LOG.info(f"The instance `{instance.name}` is already running. Run `{command}` to open")
            return 0
        driver = f"internal VM driver `{instance.vm_type}`"
        LOG.info(f"Starting the instance `{instance.name}` with {driver}")
    start_usernet(home)
    return start_host_agent(instance)


def start_host_agent(instance: Instance) -> int:
    """Start the host agent and follow it until the guest is up (L:instance/start.go)."""
    directory = instance.dir
    for name in ("ha.pid", "ha.sock"):
        (directory / name).unlink(missing_ok=True)
    outputs = {name: directory / f"ha.{name}.log" for name in ("stdout", "stderr")}
    for path in outputs.values():
        path.write_text("")
    prefix = own_path().parent.parent
    argv = [
        program(), "hostagent", "--pidfile", str(directory / "ha.pid"),
        "--socket", str(directory / "ha.sock"),
        "--guestagent", f"{prefix}/share/lima/lima-guestagent.Linux-{instance.arch}.gz",
        instance.name,
    ]  # fmt: skip
    with outputs["stdout"].open("ab") as out, outputs["stderr"].open("ab") as err:
        process = spawn_group(argv, out.fileno(), err.fileno())
    deadline = time.monotonic() + START_SECONDS
    with outputs["stdout"].open() as events, outputs["stderr"].open() as messages:
        announced = False
        while time.monotonic() < deadline:
            ended = process.poll()
            for line in messages:
                pass_on(line)
            for line in events:
                status = json.loads(line)["status"]
                if not announced and status.get("sshLocalPort"):
                    LOG.info(f"SSH Local Port: {status['sshLocalPort']}")
                    announced = True
                if status.get("exiting"):
                    errors = " ".join(status.get("errors") or [])
                    raise FatalError(
                        "exiting, status={Running:false Degraded:false Exiting:true"
                        f' Errors:[{errors}] SSHLocalPort:0}} (hint: see "{outputs["stderr"]}")'
                    )
                if status.get("degraded"):
                    errors = " ".join(status["errors"])
                    LOG.write("error", f"[{errors}]")
                    LOG.warning(
                        "DEGRADED. The VM seems running, but file sharing and port forwarding may not work."
                        f' (hint: see "{outputs["stderr"]}")'
                    )
                    raise FatalError(
                        "degraded, status={Running:true Degraded:true Exiting:false"
                        f" Errors:[{errors}] SSHLocalPort:{status['sshLocalPort']}}}"
                    )
                if status.get("running"):
                    shell = f"limactl shell {instance.name}"
                    LOG.info(f"READY. Run `{shell}` to open the shell.")
                    return 0
            if ended is not None:
                raise FatalError(f"host agent process has exited: exit status {ended}")
            time.sleep(0.02)
    raise FatalError('did not receive an event with the "running" status')


def pass_on(line: str) -> None:
    """A line of ha.stderr.log, as limactl shows it."""
    try:
        content = json.loads(line)
        message, level = str(content["msg"]), str(content["level"])
    except (ValueError, KeyError):
        message, level = line.rstrip("\n"), "info"
    if level != "debug":
        LOG.write(level if level != "fatal" else "error", f"[hostagent] {message}")


# ---- stop, delete ---------------------------------------------------------------------------


def find(home: Path, arguments: list[str]) -> Instance:
    words = [word for word in arguments if not word.startswith("-")]
    name = words[0] if words else "default"
    validate_name(name)
    try:
        return read_instance(home, name)
    except FileNotFoundError as error:
        raise FatalError(f"open {error.filename}: no such file or directory") from None


def forced(arguments: list[str]) -> bool:
    return "-f" in arguments or "--force" in arguments


def stop(arguments: list[str]) -> int:
    home = lima_home()
    instance = find(home, arguments)
    if forced(arguments):
        stop_forcibly(instance)
    else:
        stop_gracefully(instance)
    reconcile(home)
    return 0


def stop_gracefully(instance: Instance) -> None:
    """SIGINT to the host agent, and wait for it (L:instance/stop.go)."""
    if instance.status != "Running":
        raise FatalError(
            f'expected status "Running", got "{instance.status}"'
            f" (maybe use `limactl stop -f {instance.name}`?)"
        )
    seen = (instance.dir / "ha.stderr.log").stat().st_size
    LOG.info(f"Sending SIGINT to hostagent process {instance.host_agent}")
    os.kill(instance.host_agent, signal.SIGINT)
    LOG.info("Waiting for the host agent and the driver processes to shut down")
    deadline = time.monotonic() + STOP_SECONDS
    with (instance.dir / "ha.stderr.log").open() as messages:
        messages.seek(seen)
        while True:
            running = read_pid(instance.dir / "ha.pid")
            for line in messages:
                pass_on(line)
            if not running:
                break
            if time.monotonic() > deadline:
                raise FatalError('did not receive an event with the "exiting" status')
            time.sleep(0.02)
    LOG.info("Waiting for the instance to shut down")
    name = instance.name
    gone = wait_until(lambda: read_instance(instance.home, name).status == "Stopped", 180)
    if not gone:
        raise FatalError("instance did not shut down")
    LOG.info(f"The instance {name} has shut down")


def stop_forcibly(instance: Instance) -> None:
    """SIGKILL whatever the pid files name, and sweep (L:instance/stop.go StopForcibly)."""
    held = locks(instance)
    kill(instance.driver, f"{instance.vm_type} driver")
    for disk in instance.disks:
        if disk in held:
            disk.unlock()
        else:
            unlock = f"limactl disk unlock {disk.name}"
            LOG.warning(f"Failed to unlock disk `{disk.name}`. To use, run `{unlock}`")
    kill(instance.host_agent, "host agent")
    LOG.info(f"Removing *.pid *.sock *.tmp under `{instance.dir}`")
    for path in sorted(instance.dir.iterdir()):
        if path.suffix in (".pid", ".sock", ".tmp"):
            LOG.info(f"Removing `{path}`")
            path.unlink()
    wait_until(lambda: not (pid_alive(instance.driver) or pid_alive(instance.host_agent)), 2)


def rmtree(directory: Path) -> None:
    from shutil import rmtree

    rmtree(directory)


def pid_alive(pid: int) -> bool:
    try:
        return bool(pid) and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] != "Z"
    except OSError:
        return False


def kill(pid: int, what: str) -> None:
    if not pid:
        LOG.info(f"The {what} process seems already stopped")
        return
    LOG.info(f"Sending SIGKILL to the {what} process {pid}")
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError as error:
        LOG.write("error", str(error.strerror).lower())


def delete(arguments: list[str]) -> int:
    home = lima_home()
    words = [word for word in arguments if not word.startswith("-")]
    name = words[0] if words else "default"
    try:
        instance = read_instance(home, name)
    except FileNotFoundError:
        LOG.warning(f"Ignoring non-existent instance `{name}`")
        return 0
    if not forced(arguments) and instance.status != "Stopped":
        got = f'expected status "Stopped", got "{instance.status}"'
        raise FatalError(f"failed to delete instance `{name}`: {got}")
    stop_forcibly(instance)
    rmtree(instance.dir)
    LOG.info(f"Deleted `{name}` (`{instance.dir}`)")
    reconcile(home)
    return 0


# ---- list, shell, disk, info ----------------------------------------------------------------


def list_instances(arguments: list[str]) -> int:
    hang_while("list-hangs")
    if take_fault("list-garbage"):
        print('{"name":"colima","hostname":"colima","status":"Runn')
        return 0
    home = lima_home()
    found = instances(home)
    names = [word for word in arguments if not word.startswith("-") and word != "json"]
    if names:
        known = {instance.name: instance for instance in found}
        for name in names:
            if name not in known:
                LOG.warning(f"No instance matching {name} found.")
        found = [known[name] for name in names if name in known]
        if not found:
            raise FatalError("unmatched instances")
    if "--json" in arguments or "--format=json" in arguments or "json" in arguments:
        for instance in found:
            print(json.dumps(instance.as_json(), separators=(",", ":")))
        return 0
    for instance in found:
        print(f"{instance.name}    {instance.status}    {instance.vm_type}    {instance.dir}")
    return 0


def shell(arguments: list[str]) -> int:
    cwd = str(Path.cwd())
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option == "--":
            break
        if option == "--workdir":
            cwd = arguments.pop(0)
        elif option.startswith("--workdir="):
            cwd = option.partition("=")[2]
    if not arguments:
        raise FatalError("requires at least 1 arg(s), only received 0")
    name = arguments.pop(0)
    try:
        instance = read_instance(lima_home(), name)
    except FileNotFoundError:
        raise FatalError(
            f"instance `{name}` does not exist, run `limactl create {name}` to create a new instance"
        ) from None
    if instance.status == "Stopped":
        message = f"instance `{name}` is stopped, run `limactl start {name}` to start the instance"
        raise FatalError(message)
    if arguments and arguments[0] == "--":
        arguments.pop(0)
    while fault("start-hangs") is not None:
        time.sleep(0.1)
    try:
        return agent.execute(instance, arguments or ["sh"], cwd=cwd)
    except agent.UnreachableError:
        port = instance.ssh_port
        print(f"ssh: connect to host 127.0.0.1 port {port}: Connection refused", file=sys.stderr)
        return 255


def disk_command(arguments: list[str]) -> int:
    home = lima_home()
    if not arguments:
        print("Usage:\n  limactl disk [command]")
        return 0
    verb, *rest = arguments
    bytes_wanted = 0
    words = []
    while rest:
        word = rest.pop(0)
        if word == "--size":
            bytes_wanted = size(rest.pop(0))
        elif word.startswith("--size="):
            bytes_wanted = size(word.partition("=")[2])
        elif word == "--format":
            rest.pop(0)
        elif not word.startswith("-"):
            words.append(word)
    for name in words:
        change_disk(verb, Disk(home, name), bytes_wanted, forced(arguments))
    return 0


def change_disk(verb: str, disk: Disk, wanted: int, force: bool) -> None:
    name = disk.name
    if verb == "create":
        if disk.exists():
            raise FatalError(f'disk "{name}" already exists (`{disk.dir}`)')
        disk.dir.mkdir(0o700, parents=True)
        disk.image.write(size=wanted)
        LOG.info(f"Creating disk `{name}` with size {wanted / GIB:g}GiB")
    elif not disk.exists():
        if verb != "delete":
            raise FatalError(f'disk "{name}" does not exist')
        LOG.warning(f"Ignoring non-existent disk `{name}`")
    elif verb == "delete":
        if disk.holder() and not force:
            user = Path(disk.holder()).name
            raise FatalError(f"cannot delete disk `{name}` in use by instance `{user}`")
        rmtree(disk.dir)
        LOG.info(f"Deleted disk `{name}` (`{disk.dir}`)")
    elif verb == "resize":
        if disk.holder():
            user = Path(disk.holder()).name
            raise FatalError(f'cannot resize disk "{name}" used by running instance "{user}"')
        if wanted < disk.image.read().get("size", 0):
            raise FatalError(f"specified size {wanted} is less than the current disk size: not supported")
        disk.image.write(size=wanted)
        LOG.info(f"Resized disk `{name}` (`{disk.dir}`)")


def host_agent(arguments: list[str]) -> int:
    from .hostagent import host_agent

    return host_agent(arguments)


def info(_: list[str]) -> int:
    content = {
        "version": VERSION,
        "limaHome": str(lima_home()),
        "vmTypes": ["qemu", "vz"],
        "hostOS": "darwin",
        "hostArch": host_arch(),
    }
    print(json.dumps(content, indent=4))
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "start": start,
    "stop": stop,
    "delete": delete,
    "remove": delete,
    "rm": delete,
    "list": list_instances,
    "ls": list_instances,
    "shell": shell,
    "disk": disk_command,
    "info": info,
    "usernet": usernet,
    "hostagent": host_agent,
}


def main() -> int:
    arguments = sys.argv[1:]
    verb = arguments[0] if arguments else ""
    if verb in ("hostagent", "usernet"):
        return COMMANDS[verb](arguments[1:])
    record([sys.argv[0], *arguments])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if verb in ("--version", "-v"):
        print(f"limactl version {VERSION}")
        return 0
    if not verb or verb in ("--help", "-h", "help"):
        print(USAGE)
        return 0
    try:
        if os.geteuid() == 0:
            raise FatalError("limactl: must not run as the root user")
        if verb not in COMMANDS:
            raise FatalError(f'unknown command "{verb}" for "limactl"')
        retitle(sys.argv)
        return COMMANDS[verb](arguments[1:])
    except FatalError as error:
        LOG.write("fatal", str(error))
        return 1
