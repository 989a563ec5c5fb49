"""A run over several hosts: one picture of all, and one host left out without stopping the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from gevent import GreenletExit
from pyinfra import state
from pyinfra.api import DeployError, Host
from pyinfra.context import ctx_host

from operations.util.remote import fail

_looked: set[Host] = set()


def wants_json() -> bool:
    """Whether pyinfra was asked for `--json`: then standard output holds JSON and nothing else."""
    return "--json" in sys.argv


def end_after_all(finish: Callable[[], int]) -> None:
    """End a deploy file that only looks, called at its end for every host.

    The last host of the run calls `finish`, which shows what was seen, and ends pyinfra with the exit status
    that it returns, before pyinfra would ask whether to go on. Raises SystemExit then.
    """
    _looked.add(ctx_host.get())
    if _looked >= state.activated_hosts:
        raise SystemExit(finish())


def leave_out(*lines: str) -> NoReturn:
    """Refuse this host while pyinfra prepares: it has failed, and the others go on.

    Raises DeployError where no other host is left, and GreenletExit, with which pyinfra goes on, otherwise:
    any other exception would stop all hosts.
    """
    host = ctx_host.get()
    if state.active_hosts <= {host}:
        raise DeployError("\n".join([f"{host.name}: {lines[0]}", *lines[1:]]))
    fail(host, *lines)
    state.failed_hosts.add(host)
    state.active_hosts.discard(host)
    raise GreenletExit
