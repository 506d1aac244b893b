"""The options of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """`seconds`: of load, for one figure. `messages` are those that are moved."""

    rounds: int
    seconds: int
    messages: int
    out: Path


class Sizes(NamedTuple):
    """Says how much data is loaded."""

    tenants: int
    users: int  # in each tenant
    messages: int
