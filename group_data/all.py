"""What every host has unless its inventory or `--data` says otherwise: the defaults, overlaid by ./.env."""

from pathlib import Path

from settings import defaults, read_env

# Facts and operations run as root; what must be the Homebrew user's says so itself.
_sudo = True

globals().update(defaults() | dict(read_env(Path(".env"))))
