"""Bring back a Docker that worked before, with the smallest restart that helps.

    pyinfra @ssh/macmini.lan deploys/recover.py

`--dry` says what was found and what would be done. What an operator has unloaded or disabled is deploy.py's.
"""

from pyinfra import host
from pyinfra.api import DeployError

from operations import diagnostics, recovery
from operations.preflight import without_nagle
from settings import Settings

without_nagle(host)
settings, faults = Settings.parse(host.data.dict())
if faults:
    raise DeployError("\n  - ".join([f"{host.name}: nothing was touched.", *map(str, faults)]))
service = recovery.Service.of(settings, diagnostics.secrets_of(settings.colima_extra_args, {}))

recovery.recovered(name=recovery.forecast(service), service=service)
