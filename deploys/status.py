"""Show how each Mac's Docker is, a row a host; exit 1 when one is not healthy. Changes nothing.

pyinfra @ssh/macmini.lan deploys/status.py
pyinfra inventory.py deploys/status.py --json
"""

from pathlib import Path

from pyinfra import host

from operations import status
from operations.util import installer, reports
from operations.util.transport import without_nagle
from settings import Settings

without_nagle(host)
settings, faults = Settings.parse(host.data.dict())
installers = installer.read(Path("containers"))

reports.show(status.look(host, settings, faults, installers), installers.faults)
