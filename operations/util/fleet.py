"""A run over several hosts: one picture of all, and one host left out without stopping the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from gevent import GreenletExit
from pyinfra import logger, state
from pyinfra.api import DeployError, Host
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_host

# By the names of the hosts: how to end once all have looked; who takes no part any more; and why not.
_finish: dict[str, Callable[[], int]] = {}
_left: set[str] = set()
_refusals: dict[str, tuple[str, ...]] = {}


def wants_json() -> bool:
    """Whether pyinfra was asked for `--json`: then standard output holds JSON and nothing else."""
    return "--json" in sys.argv


def refusal(host: Host) -> tuple[str, ...]:
    """Why this run has left `host` out; empty when it has not."""
    return _refusals.get(host.name, ())


def _end_after_last() -> None:
    gone = _finish.keys() | _left
    if _finish and all(host.name in gone for host in state.activated_hosts):
        raise SystemExit(next(iter(_finish.values()))())


def end_after_all(finish: Callable[[], int]) -> None:
    """End a deploy file that only looks, called at its end for every host.

    When no host is left to look at, `finish` is called, which shows what was seen, and pyinfra ends with the
    exit status that it returns, before it would ask whether to go on, and with `-y` before it would go on.
    Raises SystemExit then.
    """
    _finish[ctx_host.get().name] = finish
    _end_after_last()


def _leave(host: Host) -> NoReturn:
    # pyinfra takes this one exception of a host for the end of its deploy file; any other stops all hosts.
    _left.add(host.name)
    _end_after_last()
    raise GreenletExit


def leave_out(*lines: str, alone: type[PyinfraError] = DeployError) -> NoReturn:
    """Refuse this host while pyinfra prepares: it has failed, and the others go on.

    `lines` are a reason, or a heading and the reasons, each as `  - reason`. Raises `alone` where no other
    host is left, PyinfraError where more have failed than `--fail-percent` allows, and GreenletExit, with
    which pyinfra goes on, otherwise.
    """
    host = ctx_host.get()
    reasons = [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]
    _refusals[host.name] = tuple(reasons or lines[:1])
    if state.active_hosts <= {host}:
        raise alone("\n".join([f"{host.name}: {lines[0]}", *lines[1:]]))
    for line in lines:
        host.log_styled(line, fg="red", log_func=logger.error)
    if state.should_raise_failed_hosts is None:
        state.fail_hosts({host})
    else:
        # Without -y pyinfra would ask whether to go on, which it asks about the whole plan anyway.
        state.failed_hosts.add(host)
        state.active_hosts.discard(host)
    _leave(host)


def leave_untouched(faults: Iterable[str]) -> NoReturn:
    """Leave this host out for these faults, with nothing of it touched. Raises what leave_out raises."""
    leave_out("nothing was touched.", *(f"  - {fault}" for fault in faults))


def leave_if_failed() -> None:
    """End the deploy file of a host that pyinfra has failed while it prepares, for a fact it could not get.

    pyinfra itself would go on with the fact's default. Raises GreenletExit, as leave_out does.
    """
    host = ctx_host.get()
    if not state.is_executing and host in state.failed_hosts:
        _leave(host)
