"""qemu-system-*: the machine itself (a guest of namespaces, see guest.py).

The host agent starts it with the command line of `limactl hostagent` on a Mac; from that it takes
-pidfile (and so the instance). TERM and INT end it at once, as they end QEMU: a power cut for the
guest. The power button is QMP's system_powerdown.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from .common import STANDIN, retitle
from .store import Instance, VirtualDisk, read_instance


class Power:
    """A running guest, which lives as long as the pipe to it."""

    def __init__(self, instance: Instance) -> None:
        image = instance.disks[0].image if instance.disks else VirtualDisk(instance.dir / "disk")
        content = image.read()
        # Formatting is a boot script's work, of those that `limactl start` was last given.
        wish = (instance.dir / "lima.yaml").stat().st_mtime_ns
        wanted = any(disk.get("format") for disk in instance.config.get("additionalDisks") or [])
        machine = {
            "id": instance.name,
            "disk": content.get("id", "none"),
            "image": str(image.path),
            "size": content.get("size", 0),
            "format": wanted and content.get("formatted") != wish,
            "uid": os.getuid(),
            "gid": os.getgid(),
            "qemu": os.getpid(),
            "mounts": instance.config.get("mounts") or [],
        }
        with (instance.dir / "serial.log").open("ab") as serial:
            self.process = subprocess.Popen(
                [f"{STANDIN}/sudo", "-n", f"{STANDIN}/guest"],  # a name ps leaves out
                executable="/usr/bin/sudo",
                stdin=subprocess.PIPE,
                stdout=serial,
                stderr=serial,
                start_new_session=True,
                cwd="/",
            )
        self.tell(json.dumps(machine))
        image.write(formatted=wish)

    def tell(self, line: str) -> None:
        stdin: IO[bytes] | None = self.process.stdin
        if stdin is not None:
            try:
                stdin.write(line.encode() + b"\n")
                stdin.flush()
            except OSError:
                pass

    def press_button(self) -> None:
        self.tell("powerdown")

    def wait(self, timeout: float | None = None) -> int:
        return self.process.wait(timeout)

    def cut(self) -> None:
        """No power: the guest dies in the middle of what it does."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def serve_qmp(listener: socket.socket, power: Power) -> None:
    """Enough of QMP: any connection that says system_powerdown presses the button."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
            if b"system_powerdown" in connection.recv(4096):
                power.press_button()


def listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    return listener


def main() -> int:
    arguments = sys.argv[1:]
    if "--version" in arguments or "-version" in arguments:
        print("QEMU emulator version 10.1.2")
        return 0
    if "-pidfile" not in arguments:
        print(f"{sys.argv[0]}: no bootable device", file=sys.stderr)
        return 1
    retitle(sys.argv)
    pid_file = Path(arguments[arguments.index("-pidfile") + 1])
    instance = read_instance(pid_file.parent.parent, pid_file.parent.name)
    sockets = [listen(pid_file.parent / f"{n}.sock") for n in ("qmp", "serial", "serialv")]
    power = Power(instance)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(quit_now(pid_file)))
    pid_file.write_text(f"{os.getpid()}\n")
    pid_file.chmod(0o600)
    threading.Thread(target=serve_qmp, args=(sockets[0], power), daemon=True).start()
    power.process.wait()
    pid_file.unlink(missing_ok=True)
    return 0


def quit_now(pid_file: Path) -> int:
    """`qemu: terminating on signal 15`."""
    pid_file.unlink(missing_ok=True)
    return 0


def image_main() -> int:
    """qemu-img: only there to be found; Lima's raw disks need nothing of it."""
    if "--version" in sys.argv:
        print("qemu-img version 10.1.2")
    return 0
