"""Show what the logs of each Mac say: Colima's, the two of Lima's host agent, and the pulse's.

pyinfra HOST deploys/logs.py                     the last 50 lines of each
pyinfra HOST deploys/logs.py --data lines=200    more of them
pyinfra HOST deploys/logs.py --data follow=true  and what comes, until Ctrl-C

The lines are on standard output, each behind the name of its log, and of its host where there are several.
Nothing on the Mac is changed.
"""

from pyinfra.api import DeployError
from pyinfra.context import ctx_host

from deploys import log_reader
from deploys.preflight import settings_of_host
from operations.util import internals

# What logs hold is masked before it is shown.
internals.hide_facts()
settings = settings_of_host()
if settings:
    if settings.follow and internals.wants_json():
        raise DeployError("FOLLOW: not together with --json, which prints one whole document")
    log_reader.read(log_reader.Reader(ctx_host.get(), settings))
internals.end_after_all(log_reader.show)
