"""Metadata are pairs of strings that a client keeps with a session or a message.

They are stored as the text of a JSON object: `jsonb` would change the keys' order, and refuses
U+0000. Rows are found by tags of their pairs, short digests, whose matches are compared exactly.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

MAX_PAIRS = 16
TAG_BYTES = 8
# It keeps nothing secret; it makes tags of this purpose, which no other digest is equal to.
TAG_KEY = b"bicameral metadata tag"

MetadataKey = Annotated[str, Meta(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Meta(max_length=512)]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue],
    Meta(
        max_length=MAX_PAIRS,
        description="Up to 16 pairs of your own: keys of 1 to 64 characters, values of up to 512.",
        examples=[{"topic": "travel"}],
    ),
]


def stored(metadata: Mapping[str, str] | None) -> str | None:
    """Write the column's text. No pairs are NULL, as in the rows of before."""
    return msgspec.json.encode(metadata).decode() if metadata else None


def shown(text: str | None) -> dict[str, str]:
    """Read the column's text."""
    return msgspec.json.decode(text, type=dict[str, str]) if text else {}


def tags(metadata: Mapping[str, str] | None) -> list[bytes] | None:
    """Make the tags of all pairs, in ascending order. No pairs are NULL here, too."""
    return sorted(tag(key, value) for key, value in metadata.items()) if metadata else None


def tag(key: str, value: str) -> bytes:
    """Digest a pair. Another pair may have the same tag, however rarely."""
    pair = f"{key}\0{value}".encode(errors="surrogatepass")
    return hmac.digest(TAG_KEY, pair, "sha256")[:TAG_BYTES]
