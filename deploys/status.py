"""Show how each Mac's Docker is, a row a host; exit 1 when one is not healthy. Changes nothing there.

pyinfra @ssh/macmini.lan deploys/status.py
pyinfra inventory.py deploys/status.py --json
pyinfra inventory.py deploys/status.py --data html=status.html    makes a page of it, here
"""

from pathlib import Path

from pyinfra import host

from deploys import preflight, status_page, status_report, status_table
from operations.util import installer

path = status_page.asked_for()
settings, faults = preflight.given()
installers = installer.read(Path("containers"))
status_table.show(
    status_report.look(host, settings, faults, installers),
    installers.faults,
    lambda reports: status_page.write(path, reports, installers.faults),
)
