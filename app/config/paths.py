"""Where the repository lies, for what is read from it at run time."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
