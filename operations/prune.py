"""
Manage what piles up in Docker: pruned when a deploy has started it, as PRUNE_MODE says.
"""

from __future__ import annotations

from pyinfra import host, logger, state
from pyinfra.api import operation

from facts.docker import Prunable
from facts.launchd import PRUNE_DUE, Milestones
from operations.util import ahead, terminal
from operations.util.commands import Commands, ask, explain, live, refuse
from settings import Fault, Settings

NONE = "none"
SAFE = "safe"
AGGRESSIVE = "aggressive"


def mode_in_force(settings: Settings) -> str:
    """What a start of Docker is followed by: a PRUNE_MODE, of which a full reset makes none safe."""
    if not settings.prune_docker_after_start:
        return NONE
    return SAFE if settings.full_reset and settings.prune_mode == NONE else settings.prune_mode


def fault(mode: str, force_yes: bool) -> str | None:
    """Why nobody could be asked about this mode; None when somebody can, or nobody has to be."""
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
    Keep Docker free of what piles up, once a start that a deploy makes and notes as PRUNE_DUE.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon, under which starts are noted
    + mode: safe takes dangling images, images all that no container uses, aggressive also stopped
      containers, unused networks, anonymous volumes and the build cache
    + force_yes: let aggressive happen where there is no terminal to ask on
    + networks: networks that stay although nothing uses them now

    What an installer made is never taken: its container, stopped or not, and that one's image, networks and
    volumes. No named volume is. `aggressive` asks on the terminal; where there is none, and no `force_yes`,
    it stays due.

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
    if PRUNE_DUE not in notes:
        host.noop("no deploy has started Docker since it was last pruned")
        return
    if state.is_executing:
        if why := fault(mode, force_yes):
            host.log(f"Docker is not pruned. {why}", logger.warning)
            return
        found = ask(Prunable, user=user, profile=profile, mode=mode, networks=networks)
        if found is None or found.trouble is not None:
            yield from refuse(
                f"Docker cannot be pruned ({mode}): {found.trouble if found else 'no answer'}. "
                "Run this again, which prunes first; or, to go on without, with --data prune_mode=none"
            )
            return
        for each in found.goes:
            host.log(f"prune ({mode}) takes {each}")
        if not found.goes:
            host.log(f"Docker holds nothing that a prune ({mode}) would take")
        # -y answers for the deploy, and force_yes where nobody can be asked; neither for one who is there.
        question = f"[{host.name}] Prune Docker of that?"
        if mode == AGGRESSIVE and terminal.is_there() and not terminal.ask(question, default=False):
            explain("Leave Docker unpruned, as answered")
            yield live("prune", label, NONE)
            return
    explain(f"Prune Docker: {mode}, due since the last start")
    yield live("prune", label, mode, *networks)
