"""A real browser without a window: Chromium, or Chrome, told by the DevTools protocol what to do.

https://chromedevtools.github.io/devtools-protocol; with `--remote-debugging-pipe` it reads that from
descriptor 3 and writes to 4, a NUL after each message.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = (
    "chromium",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
# root has no sandbox there; and nothing is looked for in the network.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars "
    "--remote-debugging-pipe"
).split()
SECONDS = 30


def find() -> str | None:
    """The browser of this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One that shows one page; `directory` is for its profile.

    Everything raises RuntimeError for what the browser refuses, and TimeoutError when it does not answer.
    """

    def __init__(self, program: str, directory: Path) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(SECONDS)
        self._number, self._rest = 0, b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        words = [program, *FLAGS, f"--user-data-dir={directory}", "about:blank"]
        with theirs:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", 'exec "$@" 3<&0 4>&0 </dev/null', "sh", *words],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)
        self._ours.close()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            received = self._ours.recv(1 << 20)
            if not received:
                raise RuntimeError("the browser has ended")
            self._rest += received
        message, _, self._rest = self._rest.partition(b"\0")
        read: dict[str, Any] = json.loads(message)
        return read

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one method of the protocol; the events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._ours.sendall(json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path, width: int, *, dark: bool = False, script: bool = True) -> None:
        """Open a file, in a window so wide, and wait until all of it is there."""
        self.events.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", **size)
        self("Emulation.setScriptExecutionDisabled", value=not script)
        self("Page.navigate", url=path.resolve().as_uri())
        while not any(each.get("method") == "Page.loadEventFired" for each in self.events):
            self.events.append(self._read())

    def ask(self, expression: str) -> Any:
        """The value of a script's expression in the page."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """The whole page, in WebP: half of what it is as a PNG."""
        clip = {**self("Page.getLayoutMetrics")["cssContentSize"], "scale": 1}
        shot = self(
            "Page.captureScreenshot", captureBeyondViewport=True, clip=clip, format="webp", quality=80
        )
        return base64.b64decode(shot["data"])

    def said(self, *methods: str) -> list[dict[str, Any]]:
        """The parameters of the events of these kinds since the page was opened."""
        return [each["params"] for each in self.events if each.get("method") in methods]
