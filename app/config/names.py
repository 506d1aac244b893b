"""Tells a misspelt setting from a variable that is somebody else's."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import SequenceMatcher

# Kubernetes gives every container the address of each service, here of one called `relay`:
# RELAY_SERVICE_HOST, RELAY_SERVICE_PORT, RELAY_PORT=tcp://…, RELAY_PORT_80_TCP_ADDR and more.
SERVICE_NAME = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?$")
SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")
ALIKE = 0.88
TYPING_ERROR = 2  # letters: one more and one less, or two of either


def meant(name: str, settings: Collection[str]) -> str | None:
    """Return the setting that the name is a misspelling of, if it is one."""
    name = name.upper()
    if name in settings or name == "DATABASE_URL" or SERVICE_NAME.search(name):
        return None
    first_words = {setting.partition("_")[0] for setting in settings}
    if name.partition("_")[0] not in first_words:
        return None
    best = max(settings, key=lambda setting: _likeness(name, setting))
    return best if _is_misspelt(name, best) else None


def _likeness(name: str, setting: str) -> float:
    same_words = sorted(name.split("_")) == sorted(setting.split("_"))
    return 1.0 if same_words else SequenceMatcher(None, name, setting).ratio()


def _is_misspelt(name: str, setting: str) -> bool:
    letters, expected = name.replace("_", ""), setting.replace("_", "")
    blocks = SequenceMatcher(None, letters, expected).get_matching_blocks()
    wrong = len(letters) + len(expected) - 2 * sum(block.size for block in blocks)
    return _likeness(name, setting) >= ALIKE or wrong <= TYPING_ERROR
