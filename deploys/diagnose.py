"""Collect what helps to find out why a Mac's Docker does not work; changes nothing there.

    pyinfra @ssh/macmini.lan deploys/diagnose.py

The answers, and what was kept there when something failed last, are in a file in diagnostics/; also those of
a Mac that a deploy would refuse.
"""

from pathlib import Path

from pyinfra import host, logger

from deploys import diagnostics, preflight
from operations.util import installer
from operations.util.internals import end_after_all, hide_facts

hide_facts()
settings, faults = preflight.given()
for fault in faults:
    host.log(f"{fault}", logger.warning)
diagnostics.collect(
    host,
    settings,
    diagnostics.secrets_of(settings, installer.read(Path("containers")).hidden),
)
end_after_all(diagnostics.finish)
