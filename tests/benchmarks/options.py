"""What the command line says."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """`seconds`: of load, for one figure."""

    rounds: int
    seconds: int
    out: Path


class Sizes(NamedTuple):
    """Of the data."""

    tenants: int
    users: int  # in each tenant
    messages: int
