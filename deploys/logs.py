"""Show what the logs of each Mac say: Colima's, the two of Lima's host agent, and the pulse's.

pyinfra HOST deploys/logs.py                     the last 50 lines of each
pyinfra HOST deploys/logs.py --data lines=200    more of them
pyinfra HOST deploys/logs.py --data follow=true  and what comes, until Ctrl-C

The lines are on standard output, each behind the name of its log, and of its host where there are several.
Nothing on the Mac is changed.
"""

from functools import partial

from pyinfra import host, inventory
from pyinfra.api import DeployError
from pyinfra.context import ctx_host

from operations import diagnostics, logs
from operations.preflight import settings_of
from operations.util.fleet import end_after_all, wants_json

settings = settings_of(host, host.data.dict(), inventory.get_override_data())
if settings.follow and wants_json():
    raise DeployError("FOLLOW: not together with --json, which prints one whole document")

logs.READING.read(
    logs.Logs(
        ctx_host.get(),
        settings.homebrew_user,
        settings.colima_profile,
        settings.label,
        settings.log_path,
        diagnostics.secrets_of(settings.colima_extra_args, {}),
    ),
    settings.lines,
)
end_after_all(partial(logs.READING.show, follow=settings.follow))
