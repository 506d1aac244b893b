"""API keys: their form, and what may be done with them."""

from __future__ import annotations

import re
import secrets
import zlib

PREFIX = "bic_key_"  # lets secret scanners find a leaked key
RANDOM_BYTES = 32
CHECKSUM_LENGTH = 8
KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}[0-9a-f]{{{CHECKSUM_LENGTH}}}\Z")
KEY_LENGTH = len(PREFIX) + 43 + CHECKSUM_LENGTH


def new_key() -> str:
    """Make a key of 256 random bits, and a checksum that tells a typing error without a query."""
    text = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return text + _checksum(text)


def has_form_of_key(token: str) -> bool:
    """Tell a key from a token, whose random part may begin like a key; their lengths differ."""
    return len(token) == KEY_LENGTH and token.startswith(PREFIX)


def is_mistyped(key: str) -> bool:
    """Tell what was never a key of ours from one that may have ended."""
    return not KEY.match(key) or key[-CHECKSUM_LENGTH:] != _checksum(key[:-CHECKSUM_LENGTH])


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
