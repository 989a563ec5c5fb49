"""`limactl hostagent`: what stands between an instance and its Mac (L:hostagent).

Faults (files in /private/var/db/standin/faults): start-fails (counted: the host agent panics),
start-hangs (while it exists, the guest never answers SSH), start-slow (seconds before it does).
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timezone
from pathlib import Path
from typing import Any

from . import agent
from .common import STANDIN, clock, fault, own_path, retitle, spawn_group, start_detached, take_fault
from .mux import close, listen_tcp, relay
from .qemu import Power
from .store import Instance, lima_home, read_instance

POWERDOWN_SECONDS = 180
BOOT_SECONDS = 600


def timestamp() -> str:
    return clock().astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def say(message: str, level: str = "info") -> None:
    """A line of ha.stderr.log."""
    content = {"level": level, "msg": message, "time": timestamp()}
    os.write(2, json.dumps(content, separators=(",", ":")).encode() + b"\n")


def forwarding_address(rules: list[dict[str, Any]], ip: str) -> str | None:
    """The Mac's address for one of the guest's; None: it is not forwarded (L:port.go forwardingAddresses)."""
    anywhere = ("0.0.0.0", "::")
    for rule in [*rules, {"guestIP": "127.0.0.1", "hostIP": "127.0.0.1", "proto": "tcp"}]:
        guest_ip = rule.get("guestIP")
        if guest_ip is None or rule["proto"] not in ("tcp", "any"):
            continue
        if (
            ip in anywhere
            or ip == guest_ip
            or (ip == "::1" and guest_ip == "127.0.0.1")
            or (guest_ip in anywhere and not rule.get("guestIPMustBeZero"))
        ):
            return None if rule.get("ignore") else str(rule["hostIP"])
    return None


def accept_loopback(listener: socket.socket, path: str) -> None:
    """Carry what comes from this Mac itself to a socket, and hang up on all others (L:port_darwin.go)."""

    def carry(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as master, contextlib.suppress(OSError):
            master.connect(path)
            relay(client, master)

    while True:
        try:
            client, (peer, *_) = listener.accept()
        except OSError:
            return
        if peer in ("127.0.0.1", "::1"):
            threading.Thread(target=carry, args=(client,), daemon=True).start()
        else:
            client.close()


class HostAgent:
    """The life of one instance, from `limactl start` to its end."""

    def __init__(self, instance: Instance, pid_file: Path, ha_socket: Path) -> None:
        self.instance = instance
        self.pid_file = pid_file
        self.ha_socket = ha_socket
        self.qemu: subprocess.Popen[bytes] | None = None
        self.power: Power | None = None  # VZ: the machine runs in this process
        self.stopping = threading.Event()
        self.booted = False
        self.unlocks = False
        self.forwards: dict[str, str] = {}
        self.errors: list[str] = []
        self.pseudo_loopback: dict[str, tuple[list[socket.socket], str]] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.ssh_port: int = probe.getsockname()[1]

    def event(self, **status: Any) -> None:
        """A line of ha.stdout.log."""
        content = {"time": timestamp(), "status": {**status, "sshLocalPort": self.ssh_port}}
        os.write(1, json.dumps(content, separators=(",", ":")).encode() + b"\n")

    # -- start

    def run(self) -> int:
        self.pid_file.write_text(f"{os.getpid()}\n")
        threading.Thread(target=self.serve_info, args=(self.listen(),), daemon=True).start()
        say(f"hostagent socket created at {self.ha_socket}")
        if take_fault("start-fails"):
            say("panic: ", "info")
            say("send on closed channel")
            return 2
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.take_signal)
        try:
            self.lock_disks()
            self.make_locations()
            self.start_machine()
        except OSError as error:
            say(str(error), "fatal")
            self.event(exiting=True, errors=[str(error)])
            self.leave()
            return 1
        self.event()
        threading.Thread(target=self.boot, daemon=True).start()
        self.wait_for_machine()
        if self.stopping.is_set():
            say("QEMU has exited")
        else:
            say('Driver stopped due to error: "exit status"', "info")
            self.stop_forwarding()
            say("QEMU has already exited")
        self.leave()
        return 0

    def listen(self) -> socket.socket:
        self.ha_socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.ha_socket))
        listener.listen(8)
        return listener

    def serve_info(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.recv(4096)
                    body = json.dumps({"sshLocalPort": self.ssh_port})
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                    connection.sendall((head + body).encode())
                except OSError:
                    pass

    def lock_disks(self) -> None:
        """Attach the disks; one that this very instance left locked is taken again."""
        for disk in self.instance.disks:
            say(f"Mounting disk `{disk.name}` on `/mnt/lima-{disk.name}`")
            holder = disk.holder()
            if holder and holder != str(self.instance.dir):
                user = Path(holder).name
                message = f'failed to run attach disk "{disk.name}", in use by instance "{user}"'
                raise OSError(message)
            if not holder:
                disk.lock.symlink_to(self.instance.dir)

    def make_locations(self) -> None:
        """Make what is to be mounted and is not there; where that fails, the VM is degraded (L:mount.go).

        Lima does so when the guest is up; ours has its mounts from the beginning.
        """
        for entry in self.instance.config.get("mounts") or []:
            try:
                Path(entry["location"]).mkdir(0o755, parents=True, exist_ok=True)
            except OSError as error:
                self.errors.append(f"mkdir {error.filename}: {str(error.strerror).lower()}")

    def start_machine(self) -> None:
        instance = self.instance
        directory = instance.dir
        for name in ("serial.log", "serialv.log", "ssh.config"):
            (directory / name).touch()
        if instance.vm_type == "vz":
            say("Starting VZ (hint: to watch the boot progress, see "
                f"`{directory}/serial*.log`)")  # fmt: skip
            self.power = Power(instance)
            instance.driver_pid_file.write_text(f"{os.getpid()}\n")
            return
        name = f"qemu-system-{instance.arch}"
        binary = shutil.which(name)
        if binary is None:
            raise OSError(f'failed to find the QEMU binary for the architecture "{instance.arch}":'
                          f' exec: "{name}": executable file not found in $PATH')  # fmt: skip
        say("Starting QEMU (hint: to watch the boot progress, see "
            f"`{directory}/serial*.log`)")  # fmt: skip
        memory = int(instance.as_json()["memory"]) >> 20
        cpus = instance.config.get("cpus")
        machine = "virt,accel=hvf" if instance.arch == "aarch64" else "q35,accel=hvf"
        argv = [
                binary, "-m", str(memory), "-cpu", "host", "-machine", machine,
                "-smp", f"{cpus},sockets=1,cores={cpus},threads=1",
                "-drive", f"file={directory}/disk,if=none,discard=on,id=boot-disk",
                "-device", "virtio-blk-pci,drive=boot-disk,bootindex=1",
            "-boot", "order=c,splash-time=0,menu=on",
                "-qmp", f"unix:{directory}/qmp.sock,server,nowait",
                "-name", f"lima-{instance.name}", "-pidfile", str(directory / "qemu.pid"),
        ]  # fmt: skip
        self.qemu = spawn_group(argv, 1, 2)
        deadline = time.monotonic() + 10
        while not (directory / "qemu.pid").exists() and self.qemu.poll() is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)

    def boot(self) -> None:
        """The requirements, in Lima's order and words."""
        kind = "essential requirement"
        say(f"Waiting for the {kind} 1 of 3: `ssh`")
        slow = fault("start-slow")
        if slow:
            time.sleep(float(slow))
        while fault("start-hangs") is not None or not self.reachable():
            time.sleep(0.02)
        say(f"The {kind} 1 of 3 is satisfied")
        for number, what in ((2, "user session is ready for ssh"),
                             (3, "Explicitly start ssh ControlMaster")):  # fmt: skip
            say(f"Waiting for the {kind} {number} of 3: `{what}`")
            if number == 3:
                self.start_master()
            say(f"The {kind} {number} of 3 is satisfied")
        self.unlocks = True
        say("Waiting for the guest agent to be running")
        for path, target in self.forwards.items():
            say(f"Forwarding `{target}` (guest) to `{path}` (host)")
        say("Guest agent is running")
        say("Waiting for the final requirement 1 of 1: `boot scripts must have finished`")
        say("The final requirement 1 of 1 is satisfied")
        self.booted = True
        self.event(running=True, **({"degraded": True, "errors": self.errors} if self.errors else {}))
        threading.Thread(target=self.forward_ports, daemon=True).start()

    def reachable(self) -> bool:
        try:
            agent.connect(self.instance).close()
        except agent.UnreachableError:
            return False
        return True

    def start_master(self) -> None:
        """The SSH ControlMaster, which carries the sockets."""
        share = str(self.instance.share)
        places: dict[str, str] = {}
        for entry in self.instance.config.get("portForwards") or []:
            if entry.get("guestSocket"):
                host, guest = str(entry["hostSocket"]), str(entry["guestSocket"])
                self.forwards[host] = guest
                places[host] = f"{share}/{Path(guest).name}"
                Path(host).parent.mkdir(parents=True, exist_ok=True)
        control = str(self.instance.dir / "ssh.sock")
        arguments = [f"{STANDIN}/homebrew/mux", control, share, json.dumps(places)]
        start_detached(arguments, title_room=len(control))
        deadline = time.monotonic() + 10
        waited = [control, *places]
        while not all(Path(path).exists() for path in waited) and time.monotonic() < deadline:
            time.sleep(0.01)

    def forward_ports(self) -> None:
        """What listens in the guest is forwarded as the rules say (L:port.go, L:port_darwin.go)."""
        seen: set[tuple[str, int]] = set()
        while not self.stopping.is_set():
            try:
                with agent.connect(self.instance) as connection:
                    connection.sendall(b'{"ports": 1}')
                    now = {(ip, port) for ip, port in json.loads(connection.makefile().readline() or "[]")}
            except (agent.UnreachableError, OSError, ValueError):
                return
            for verb, ports in (("cancel", seen - now), ("forward", now - seen)):
                for ip, port in sorted(ports):
                    self.forward_port(verb, ip, port)
            seen = now
            self.stopping.wait(1)

    def forward_port(self, verb: str, ip: str, port: int) -> None:
        host_ip = forwarding_address(self.instance.config.get("portForwards") or [], ip)
        begins = "Stopping forwarding" if verb == "cancel" else "Forwarding"
        if host_ip is None:
            if verb == "forward":
                say(f"Not forwarding TCP {ip}:{port}")
            return
        say(f"{begins} TCP from {ip}:{port} to {host_ip}:{port}")
        local, directory = f"{host_ip}:{port}", None
        pseudo = host_ip == "127.0.0.1" and port < 1024
        try:
            if pseudo and verb == "cancel":
                listeners, local = self.pseudo_loopback.pop(local)
                for listener in listeners:
                    close(listener)
            elif pseudo:
                directory = tempfile.mkdtemp(prefix=f"lima-psl-{host_ip}-{port}-", dir="/tmp")
                local = f"{directory}/sock"
            self.ask_master(verb, json.dumps([local, [ip, port]] if verb == "forward" else local))
            if directory is not None:
                listeners = [listen_tcp(f"{any_}:{port}") for any_ in ("0.0.0.0", "[::]")]
                self.pseudo_loopback[f"{host_ip}:{port}"] = listeners, local
                for listener in listeners:
                    threading.Thread(target=accept_loopback, args=(listener, local), daemon=True).start()
        except (OSError, KeyError) as error:
            what = "stop" if verb == "cancel" else "set up"
            say(f"failed to {what} forwarding tcp port {port} (negligible if already forwarded): {error}",
                "warning")  # fmt: skip

    def ask_master(self, verb: str, words: str) -> None:
        """`ssh -O VERB`: an error when the master says so, or is there no more."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(2)
            control.connect(str(self.instance.dir / "ssh.sock"))
            control.sendall(f"{verb} {words}".encode())
            if answer := control.recv(4096):
                raise OSError(answer.decode())

    # -- stop

    def take_signal(self, number: int, _: Any) -> None:
        if not self.stopping.is_set():
            self.stopping.set()
            say(f"Received {signal.Signals(number).name}, shutting down the host agent")
            threading.Thread(target=self.shut_down, daemon=True).start()

    def shut_down(self) -> None:
        say("Shutting down the host agent")
        self.stop_forwarding()
        for disk in self.instance.disks:
            say(f"Unmounting disk `{disk.name}`")
        if self.power is not None:
            say("Shutting down VZ")
            self.power.press_button()
            self.finish(self.power.process)
            return
        say("Shutting down QEMU with the power button")
        say("Sending QMP system_powerdown command")
        try:
            with socket.socket(socket.AF_UNIX) as qmp:
                qmp.settimeout(5)
                qmp.connect(str(self.instance.dir / "qmp.sock"))
                qmp.recv(4096)
                qmp.sendall(b'{"execute": "qmp_capabilities"}{"execute": "system_powerdown"}')
        except OSError:
            say(f"failed to open the QMP socket `{self.instance.dir}/qmp.sock`, forcibly killing"
                " QEMU", "warning")  # fmt: skip
            if self.qemu is not None:
                self.qemu.kill()
        if self.qemu is not None:
            self.finish(self.qemu)

    def finish(self, process: "subprocess.Popen[bytes]") -> None:
        """Patience, then force (L:qemu_driver.go shutdownQEMU)."""
        deadline = time.monotonic() + POWERDOWN_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is None:
            say("QEMU did not exit, forcibly killing QEMU", "warning")
            process.kill() if self.power is None else self.power.cut()

    def stop_forwarding(self) -> None:
        for path, target in self.forwards.items():
            say(f"Stopping forwarding `{target}` (guest) to `{path}` (host)")
        with contextlib.suppress(OSError):
            self.ask_master("exit", "")

    def wait_for_machine(self) -> None:
        process = self.qemu or (self.power.process if self.power is not None else None)
        if process is not None:
            process.wait()

    def leave(self) -> None:
        """What a host agent takes with it; after a crash of QEMU its sockets stay.

        The hook that unlocks its disks is there only after the essential requirements (L:hostagent.go).
        """
        directory = self.instance.dir
        for disk in self.instance.disks:
            if self.unlocks and disk.holder() == str(directory):
                disk.unlock()
        names = ["ga.sock", "ssh.sock", f"{self.instance.vm_type}.pid"]
        if self.stopping.is_set():
            names += ["qmp.sock", "serial.sock", "serialv.sock"]
        for name in names:
            (directory / name).unlink(missing_ok=True)
        self.event(exiting=True)
        self.ha_socket.unlink(missing_ok=True)
        self.pid_file.unlink(missing_ok=True)


def host_agent(arguments: list[str]) -> int:
    """`limactl hostagent --pidfile P --socket S [--guestagent G] ID`."""
    options = dict(zip(arguments[:-1:2], arguments[1:-1:2], strict=True))
    program = str(own_path())
    retitle([program, *sys.argv[1:]])
    instance = read_instance(lima_home(), arguments[-1])
    pid_file, ha_socket = Path(options["--pidfile"]), Path(options["--socket"])
    return HostAgent(instance, pid_file, ha_socket).run()
