"""One person's data key seals what they said, so that deleting the key erases every copy of it.

Sealed bytes are a version, a random nonce of 96 bits, and AES-256-GCM's ciphertext with its tag.
The associated data names the version and the place, so that no row can pass for another.
"""

from __future__ import annotations

import hmac
import os
import zlib
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 8  # of a filter tag; a match is checked again after opening
PLAIN, COMPRESSED = b"\x01", b"\x02"  # versions: how the text was written before it was encrypted
COMPRESSED_ABOVE_BYTES = 1024
QUICK = 1  # zlib's level: most of the gain at a fifth of the time


class UnreadableError(Exception):
    """The sealed bytes are not what was sealed at this place under this key."""


class PersonKey:
    """One person's data key, unwrapped: seals and opens, and makes digests that only it can make.

    Each use has a sub-key of its own. `id` names the key, and is no secret.
    """

    __slots__ = ("_digests", "_seals", "_tags", "id")

    def __init__(self, key_id: UUID, key: bytes) -> None:
        self.id = key_id
        self._seals = AESGCM(_sub_key(key, b"bicameral seal"))
        self._digests = _sub_key(key, b"bicameral digest")
        self._tags = _sub_key(key, b"bicameral tag")

    def __repr__(self) -> str:
        return f"PersonKey({self.id})"

    def seal(self, text: bytes, where: bytes) -> bytes:
        """Encrypt what is to be stored at this place; what is long is compressed first."""
        version = PLAIN
        if len(text) > COMPRESSED_ABOVE_BYTES:
            shorter = zlib.compress(text, QUICK)
            if len(shorter) < len(text):
                version, text = COMPRESSED, shorter
        nonce = os.urandom(NONCE_BYTES)
        return version + nonce + self._seals.encrypt(nonce, text, version + where)

    def open(self, sealed: bytes, where: bytes) -> bytes:
        """Decrypt what was sealed at this place. Raises UnreadableError for anything else."""
        version, nonce = sealed[:1], sealed[1 : 1 + NONCE_BYTES]
        if version not in (PLAIN, COMPRESSED) or len(nonce) < NONCE_BYTES:
            raise UnreadableError
        try:
            text = self._seals.decrypt(nonce, sealed[1 + NONCE_BYTES :], version + where)
        except InvalidTag:
            raise UnreadableError from None
        return zlib.decompress(text) if version == COMPRESSED else text

    def digest(self, text: bytes) -> bytes:
        """Make a fingerprint of 32 bytes, for a text that is compared and never read."""
        return hmac.digest(self._digests, text, "sha256")

    def tag(self, key: str, value: str) -> bytes:
        """Make a tag for a pair of metadata, by which rows are filtered."""
        return hmac.digest(self._tags, f"{key}\0{value}".encode(), "sha256")[:TAG_BYTES]


@lru_cache
def _table(table: str, field: str) -> bytes:
    return f"{table}\0{field}\0".encode()


def place(table: str, tenant: UUID, session: UUID, row: UUID, field: str) -> bytes:
    """Give the associated data of a place. Each part has a fixed length, or ends in a zero byte."""
    return _table(table, field) + tenant.bytes + session.bytes + row.bytes


def _sub_key(key: bytes, use: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, use).derive(key)
