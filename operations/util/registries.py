"""The logins to registries in containers/.docker/config.json, as docker's login writes them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

# Below containers/.
FILE = ".docker/config.json"

LOG_IN = "docker --config containers/.docker login"
# Where there is a login already, docker asks no credential helper of its own accord.
ANEW = f"""echo '{{"auths": {{"REGISTRY": {{}}}}}}' >containers/{FILE}; {LOG_IN} REGISTRY"""

SECRET_KEYS = ("auth", "password", "identitytoken", "registrytoken")


@dataclass(frozen=True)
class Logins:
    """One line of JSON, or an empty one; what is secret in it, what is wrong with it, and what to mind."""

    text: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def _login(registry: str, entry: Any) -> Logins:
    """One registry's login."""
    if not isinstance(entry, dict):
        return Logins(faults=(f"the login to {registry} is no JSON object",))
    secrets = [value for key in SECRET_KEYS if isinstance(value := entry.get(key), str) and value]
    if not secrets:
        return Logins(warnings=(f"{registry} has no password: {LOG_IN} {registry}",))
    if auth := entry.get("auth"):
        try:
            name, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (TypeError, ValueError):
            name = colon = password = ""
        if not (name and colon):
            return Logins(faults=(f"the auth of {registry} is not NAME:PASSWORD in base64",))
        secrets.append(password)
    return Logins(secrets=tuple(secrets))


def parse(raw: bytes) -> Logins:
    """Read the file's content. Its helpers are on this machine, and no helper is asked on a Mac."""
    try:
        config = json.loads(raw)
    except ValueError:
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("auths", {}), dict):
        return Logins(faults=(f"this is no configuration of docker's. To make it anew: {ANEW}",))
    found = [_login(registry, entry) for registry, entry in config.get("auths", {}).items()]
    helped = [key for key in ("credsStore", "credHelpers") if config.get(key)]
    faults = [
        f"{key} keeps the password in this machine's keychain. To keep it in the file instead: {ANEW}"
        for key in helped
    ]
    config.pop("currentContext", None)
    return Logins(
        text=json.dumps(config),
        secrets=tuple(secret for each in found for secret in each.secrets),
        faults=(*faults, *(fault for each in found for fault in each.faults)),
        # What a helper keeps is not in the file.
        warnings=() if helped else tuple(warning for each in found for warning in each.warnings),
    )
