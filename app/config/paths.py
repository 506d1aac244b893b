"""Finds the repository, from which migrations are read at run time."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
