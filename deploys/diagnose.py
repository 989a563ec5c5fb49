"""Collect what can be told of each Mac whose Docker does not work; changes nothing there.

    pyinfra @ssh/macmini.lan deploys/diagnose.py

The answers are in a file in diagnostics/; also those of a Mac that a deploy would refuse.
"""

from pyinfra import host, logger, state

from operations import diagnostics
from operations.util.fleet import end_after_all, leave_out
from operations.util.transport import without_nagle
from settings import Settings

without_nagle(host)
settings, faults = Settings.parse(host.data.dict())
if not settings.homebrew_user:
    leave_out("HOMEBREW_USER: not set, or not to be used")
for fault in faults:
    host.log(f"{fault}", logger.warning)

diagnostics.KEPT[host.name] = diagnostics.collect(
    state,
    host,
    settings.homebrew_user,
    settings.colima_profile,
    settings.label,
    settings.log_path,
    diagnostics.secrets_of(settings.colima_extra_args, {}),
)
end_after_all(diagnostics.finish)
