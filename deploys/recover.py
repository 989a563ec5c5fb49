"""Bring back a Docker that worked before, with the smallest restart that helps.

    pyinfra @ssh/macmini.lan deploys/recover.py

`--dry` says what was found and what would be done. What was stopped on purpose is for deploys/start.py.
"""

from operations.preflight import settings_of
from pyinfra import host, inventory

from operations import diagnostics, recovery, summary

summary.at_end()
settings = settings_of(host, host.data.dict(), inventory.get_override_data())
service = recovery.Service.of(settings, diagnostics.secrets_of(settings.colima_extra_args, {}))

recovery.recovered(name=recovery.forecast(service), service=service)
