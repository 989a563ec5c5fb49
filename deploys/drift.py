"""Say which Macs a deploy would change, and why. Changes nothing, whatever else it is given.

    pyinfra @ssh/macmini.lan deploys/drift.py --dry
    pyinfra inventory.py deploys/drift.py --dry -y

Prints a line for each host that would change or could not be looked at, and nothing for the others; `--json`
prints all. The exit status is 0 when no host would change, 2 when some would, and 1 when some could not be
looked at. `-y` keeps pyinfra from asking whether to go on without them.
"""

from pyinfra import local

from deploys import summary
from operations.util import internals

# Also with -y: pyinfra would not look then.
internals.look_for_changes()
summary.at_end(summary.show_drift)
local.include("deploy.py")
internals.end_after_all(summary.drift)
