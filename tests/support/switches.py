"""Switches put all services of a run into another state; they come from the environment."""

from __future__ import annotations

import os

STATES = {
    "BICAMERAL_TESTS_SEALED": "what the services store is sealed",
    "BICAMERAL_TESTS_PGBOUNCER": "PgBouncer is before each server",
    "BICAMERAL_TESTS_CITUS": "the general server is a cluster of Citus",
}


def is_on(name: str) -> bool:
    """Tell whether a switch is on. A value that would leave it off unnoticed is refused."""
    value = os.environ.get(name, "")
    if value not in ("", "0", "1"):
        raise ValueError(f"{name} is 1, 0 or nothing, and not {value!r}")
    return value == "1"


def states() -> list[str]:
    return [state for name, state in STATES.items() if is_on(name)]
