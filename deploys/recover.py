"""Bring back a Docker that worked before, with the smallest restart that helps.

    pyinfra @ssh/macmini.lan deploys/recover.py

`--dry` says what was found and what would be done. What an operator has unloaded or disabled is deploy.py's.
"""

from pyinfra import host

from operations import diagnostics, recovery, summary
from operations.preflight import without_nagle
from operations.util.fleet import leave_untouched
from settings import Settings

summary.at_end()
without_nagle(host)
settings, faults = Settings.parse(host.data.dict())
if faults:
    leave_untouched(map(str, faults))
service = recovery.Service.of(settings, diagnostics.secrets_of(settings.colima_extra_args, {}))

recovery.recovered(name=recovery.forecast(service), service=service)
