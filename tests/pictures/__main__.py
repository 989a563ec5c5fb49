"""`make pictures`: deploy to a stand-in Mac, and draw what the terminal showed into tests/pictures/."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.mac.machine import Mac, missing
from tests.pictures import PICTURES, draw
from tests.terminal import Terminal


def main() -> int:
    """Make all pictures anew."""
    if lacking := missing():
        print("The stand-in Mac cannot boot here:", *lacking, sep="\n  - ")
        return 1
    directory = Path(tempfile.mkdtemp(prefix="colima-pulse-pictures.", dir="/var/tmp"))
    mac = Mac("macmini", directory / "mac")
    try:
        mac.boot()
        mac.run(["pmset", "-a", "sleep", "0", "disksleep", "0", "autorestart", "1"])
        terminal = Terminal(directory / "home", mac)
        terminal.clone()
        shutil.copy(terminal.directory / "containers/example-web", terminal.directory / "containers/web")
        settings = {"PULSE_INTERVAL": "5"}
        for picture in PICTURES:
            settings |= picture.settings
            terminal.configure(settings)
            if picture.power_cut:
                mac.power_cut()
                mac.boot()
            seen = terminal.run(picture.command, columns=picture.columns)
            deadline = time.monotonic() + 120
            while not re.search(picture.until, seen.text) and time.monotonic() < deadline:
                seen = terminal.run(picture.command, columns=picture.columns)
            if seen.status or not re.search(picture.until, seen.text):
                print(f"{picture.command}: exit {seen.status}\n{seen.text}")
                return 1
            picture.path.write_text(draw(picture, seen.raw))
            print(picture.path.relative_to(Path.cwd()))
    finally:
        mac.destroy()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
