"""Master keys for tests. With BICAMERAL_TESTS_SEALED=1 the services of the whole suite seal."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Any

from app.bridge.sealing.keys import Keys
from app.config.settings import Settings
from app.databases.database import Databases
from tests.support import switches

IS_WANTED = switches.is_on("BICAMERAL_TESTS_SEALED")


def master_key(one: str) -> bytes:
    """Give the master key of this id, the same wherever a test names it."""
    return sha256(one.encode()).digest()


def master_keys(*ids: str) -> str:
    """Write SEAL_KEYS with these ids."""
    return ",".join(f"{one}:{b64encode(master_key(one)).decode()}" for one in ids)


SETTINGS: dict[str, Any] = {"seal_keys": master_keys("suite")} if IS_WANTED else {}
ENVIRONMENT = {name.upper(): str(value) for name, value in SETTINGS.items()}


def keyless(env: dict[str, str]) -> dict[str, str]:
    """Give the environment of a process that has no master key, whatever the run's others have."""
    return {name: value for name, value in env.items() if name not in ENVIRONMENT}


def keys_on(databases: Databases, settings: Settings, *ids: str) -> Keys:
    """Give what a process with these master keys has."""
    given = {"seal_keys": master_keys(*ids) if ids else None}
    return Keys(Settings.model_validate(settings.model_dump() | given), databases)
