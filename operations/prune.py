"""
Manage what piles up in Docker: pruned when a deploy has started it, as PRUNE_MODE says.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, QuoteString, State, StringCommand, operation

from facts.launchd import Milestones, milestones_path
from files import script
from operations.util import ahead, terminal
from operations.util.remote import Commands, fail, refuse, run
from settings import Fault, Settings

NONE = "none"
SAFE = "safe"
AGGRESSIVE = "aggressive"

# Noted when a deploy starts the daemon and wants a prune; forgotten when that prune is over.
DUE = "prune"


def mode_in_force(settings: Settings) -> str:
    """What a start of Docker is followed by: a PRUNE_MODE, of which a full reset makes none safe."""
    if not settings.prune_docker_after_start:
        return NONE
    return SAFE if settings.full_reset and settings.prune_mode == NONE else settings.prune_mode


def fault(mode: str, force_yes: bool) -> str | None:
    """Why this mode is refused before anything is touched; None when it is not."""
    if mode != AGGRESSIVE or force_yes or terminal.is_there():
        return None
    return str(
        Fault(
            "PRUNE_MODE",
            mode,
            "it removes stopped containers, and there is no terminal to ask on: run this on one, add "
            "--data force_yes=true, or --data prune_mode=images",
        )
    )


def describe(notes: Mapping[str, str] | None, starts: bool, mode: str) -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing."""
    if mode == NONE:
        return None
    if starts:
        return f"Prune Docker after the start: {mode}"
    if DUE in (notes or {}):
        return f"Prune Docker: {mode}, due since the last start"
    return None


def prune(
    state: State,
    host: Host,
    user: str,
    profile: str,
    label: str,
    mode: str,
    force_yes: bool,
    networks: tuple[str, ...],
) -> bool:
    """Say what a prune takes, ask where that is the aggressive one, prune, and forget that it was due.

    Without a terminal and without `force_yes` an aggressive prune stays due. Returns False, having said why,
    when Docker does not prune: then it stays due as well.
    """
    attended = terminal.is_there()
    if mode == AGGRESSIVE and not attended and not force_yes:
        host.log(
            "Docker is not pruned: aggressive asks first, and there is no terminal. Run this on one, or with "
            "--data force_yes=true",
            logger.warning,
        )
        return True

    def docker(action: str) -> tuple[bool, list[str]]:
        return run(state, host, script("bin/prune", user, profile, mode, action, *networks))

    def failed(said: list[str]) -> bool:
        return fail(
            host,
            f"Docker cannot be pruned ({mode}):",
            *said,
            "Run this again, which prunes first; or, to go on without, with --data prune_mode=none",
        )

    ok, found = docker("look")
    if not ok:
        return failed(found)
    if not found:
        host.log(f"Docker holds nothing that a prune ({mode}) would take")
    for line in found:
        host.log(f"prune ({mode}) takes {line}")
    # -y answers for the deploy, and force_yes where nobody can be asked: neither for someone who is there.
    question = f"[{host.name}] Prune Docker of that?"
    if found and mode == AGGRESSIVE and attended and not terminal.ask(question, default=False):
        host.log("Docker is not pruned, as you say", logger.warning)
    elif found:
        ok, said = docker("do")
        if not ok:
            return failed(said)
        for line in said:
            host.log(line)
    note = QuoteString(f"{milestones_path(label)}/{DUE}")
    return run(state, host, StringCommand("/bin/rm", "-f", note))[0]


@operation()
def pruned(
    user: str,
    profile: str,
    label: str,
    mode: str,
    force_yes: bool = False,
    networks: tuple[str, ...] = (),
) -> Commands:
    """
    Keep Docker free of what piles up, once a start that a deploy makes and notes with the milestone DUE.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon, under which starts are noted
    + mode: safe takes dangling images, images all that no container uses, aggressive also stopped
      containers, unused networks, anonymous volumes and the build cache
    + force_yes: let aggressive happen where there is no terminal to ask on
    + networks: networks that stay although nothing uses them now

    What an installer made is never taken: its container, stopped or not, and that one's image, networks and
    volumes. No named volume is.

    **Example:**

    .. code:: python

        prune.pruned(
            name="Prune Docker", user="alice", profile="default",
            label="homebrew.mrcee.colima-pulse", mode="images",
        )
    """
    (notes,) = ahead.get((Milestones, {"label": label}))
    if notes is None:
        yield from refuse(f"what was noted of {label}'s last start cannot be read")
        return
    if DUE not in notes:
        host.noop("no deploy has started Docker since it was last pruned")
        return
    yield FunctionCommand(prune, (user, profile, label, mode, force_yes, networks), {})
