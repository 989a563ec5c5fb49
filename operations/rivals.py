"""
Manage the other launchd jobs that start the same Colima profile: there can be one owner only.
"""

from __future__ import annotations

import time

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, State, operation

from facts.launchd import (
    IN_PROGRESS,
    NO_DOMAIN,
    NO_SUCH_PROCESS,
    NOT_FOUND,
    NOT_SUPPORTED,
    Definition,
    Definitions,
)
from files import script
from operations.launchd import launchctl
from operations.util import ahead, terminal
from operations.util.remote import Commands, fail, refuse, run, wait
from operations.util.rivals import Rival, judge

BOOTOUT_SECONDS = 60


def judged(definitions: list[Definition], label: str, user: str, home: str, profile: str) -> list[Rival]:
    """The jobs other than ours, each judged. A pure function."""
    found = [judge(each, label, user, home, profile) for each in definitions]
    return [each for each in found if each is not None]


def describe(rivals: list[Rival], clean: str) -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing."""
    starting = [str(each.definition.label) for each in rivals if each.starts_ours]
    if not starting or clean == "false":
        return None
    return f"Remove what else starts Colima: {', '.join(starting)}"


def remove(state: State, host: Host, rival: Rival, user: str, backup: str, asks: bool) -> bool:
    """Unload one job and move its file into the backup directory. Returns False, having said why, if not."""
    definition = rival.definition
    question = f"[{host.name}] Remove {rival.name}, which starts Colima as well?"
    if asks and not terminal.ask(question, default=True):
        host.log(f"{rival.name} stays: two owners of one VM will disturb each other", logger.warning)
        return True
    target = f"{definition.domain}/{definition.label}"
    status, said = launchctl(state, host, "bootout", target)
    # Without gui/UID an agent there does not run either.
    absent = {0, NO_SUCH_PROCESS, IN_PROGRESS, NOT_FOUND, NO_DOMAIN, NOT_SUPPORTED}
    if status not in absent:
        return fail(host, f"launchctl bootout {target}: {status}: {said}")

    def gone() -> bool | None:
        status, _ = launchctl(state, host, "print", target)
        return True if status in {NOT_FOUND, NO_DOMAIN, NOT_SUPPORTED} else None

    if wait(host, BOOTOUT_SECONDS, gone, f"{target} to end", pause=0.3) is None:
        return fail(host, f"{target} is still loaded. Look: sudo launchctl print {target}")
    if definition.path is None:
        host.log(f"{rival.name} is unloaded")
        return True
    kept = f"{backup}/launchd-{time.strftime('%Y%m%d-%H%M%S')}"
    ok, said_lines = run(state, host, script("bin/move-aside", definition.path, kept, user))
    if not ok:
        return fail(host, f"{definition.path} cannot be moved to {kept}:", *said_lines)
    host.log(f"{rival.name} is unloaded, and its file moved to {kept}")
    return True


@operation()
def removed(
    user: str, home: str, profile: str, label: str, clean: str, backup: str, asks: bool = False
) -> Commands:
    """
    Keep every launchd job but ours from starting this user's profile.

    + user: who runs Colima
    + home: the user's home directory
    + profile: the profile's short name
    + label: our LaunchDaemon
    + clean: "true" removes them, "false" only mentions them, "prompt" asks where it can and takes yes
    + backup: where their files are moved to
    + asks: whether "prompt" may ask on the terminal

    Recognised by what they run, not by their label. Jobs of another profile or user, links and what cannot be
    read are mentioned, and left alone.

    **Example:**

    .. code:: python

        rivals.removed(
            name="Remove Homebrew's service", user="alice", home="/Users/alice", profile="default",
            label="homebrew.mrcee.colima-pulse", clean="true", backup="/Users/alice/colima-pulse-backups",
        )
    """
    (definitions,) = ahead.get((Definitions, {"user": user}))
    if definitions is None:
        yield from refuse("the launchd jobs that mention Colima cannot be read")
        return
    found = judged(definitions, label, user, home, profile)
    for each in found:
        if not each.starts_ours or clean == "false":
            host.log(f"left alone: {each.name}: {each.why}")
    starting = [each for each in found if each.starts_ours]
    if not starting or clean == "false":
        host.noop("nothing else starts this profile" if not starting else "asked to leave the others")
        return
    for each in starting:
        yield FunctionCommand(remove, (each, user, backup, asks and clean == "prompt"), {})
