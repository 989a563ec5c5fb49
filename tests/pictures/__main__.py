"""`make pictures`: deploy to a stand-in Mac, and draw what the terminal showed into tests/pictures/."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from deploys.status_page import page
from tests.browser import Browser, find
from tests.deploys.pages import AT, fleet
from tests.mac.machine import Mac, missing
from tests.pictures import PAGE, PICTURES, draw
from tests.terminal import Terminal


def draw_page(program: str, directory: Path) -> None:
    """The page of the status: of a made-up fleet, as no stand-in has lived for a month."""
    path = directory / "status.html"
    path.write_text(page(fleet(7), (), AT))
    with Browser(program, directory / "browser") as browser:
        browser.open(path, 1280)
        PAGE.write_bytes(browser.picture())
    print(PAGE.relative_to(Path.cwd()))


def main() -> int:
    """Make all pictures anew."""
    program = find()
    if lacking := [*missing(), *([] if program else ["a browser: Chromium, or Chrome"])]:
        print("What is missing here:", *lacking, sep="\n  - ")
        return 1
    directory = Path(tempfile.mkdtemp(prefix="colima-pulse-pictures.", dir="/var/tmp"))
    mac = Mac("macmini", directory / "mac")
    try:
        draw_page(str(program), directory)
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
