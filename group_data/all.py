"""What every host has unless its inventory or `--data` says otherwise: the defaults, overlaid by ./.env."""

import gc
import os
import sys
from pathlib import Path

# pyinfra turns byte code off, and would compile every module of ours anew in every run: a tenth of a second.
sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
# What pyinfra has loaded stays to the end: each search through it for garbage would take 30 ms.
gc.freeze()

from operations.util import internals, terminal  # noqa: E402
from settings import defaults, read_env  # noqa: E402

terminal.guard()
internals.keep_to_the_system()

# Facts and operations run as root; what must be the Homebrew user's says so itself.
_sudo = True
_shell_executable = "/bin/sh"

globals().update(defaults() | dict(read_env(Path(".env"))))
