"""Master keys wrap people's keys; they are in SEAL_KEYS and in no database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from app.databases.sealing.person_keys import KEY_BYTES, NONCE_BYTES, PersonKey

CACHED_KEYS = 4096  # of people, unwrapped, in this process
PROOF = b"bicameral master key"


class KeyUnavailableError(Exception):
    """This process does not have the key under which this is sealed; try again later."""


class WrappedKey(Struct, frozen=True):
    """A person's key as the user database keeps it, encrypted under the master key it names."""

    id: UUID
    master_id: str
    wrapped: bytes

    def __repr__(self) -> str:
        return f"WrappedKey({self.id}, {self.master_id!r})"


class MasterKeys:
    """The master keys that this process knows; the first is the active one, which wraps."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {master_id: AESGCM(key) for master_id, key in keys.items()}
        self.active = next(iter(keys), None)
        self._unwrapped = lru_cache(CACHED_KEYS)(self._person_key)

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self._ciphers)})"

    def __contains__(self, master_id: str) -> bool:
        return master_id in self._ciphers

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._ciphers)

    def new_key(self, tenant_id: UUID, user_id: UUID) -> WrappedKey:
        """Make a key of 256 random bits for a person, wrapped under the active master key."""
        return self._wrap(uuid4(), os.urandom(KEY_BYTES), tenant_id, user_id)

    def rewrap(self, key: WrappedKey, tenant_id: UUID, user_id: UUID) -> WrappedKey:
        """Wrap a person's key anew under the active master key. Raises KeyUnavailableError."""
        return self._wrap(key.id, self._unwrap(key, tenant_id, user_id), tenant_id, user_id)

    def person_key(self, key: WrappedKey, tenant_id: UUID, user_id: UUID) -> PersonKey:
        """Unwrap a person's key, or take it from the cache. Raises KeyUnavailableError."""
        return self._unwrapped(key, tenant_id, user_id)

    def proof(self, master_id: str) -> bytes:
        """Encrypt a known text, which proves later that a key of this id is still the same."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(master_id).encrypt(nonce, PROOF, master_id.encode())

    def proves(self, master_id: str, proof: bytes) -> bool:
        """Tell whether the key of this id is known here, and the one that made the proof."""
        if master_id not in self._ciphers:
            return False
        try:
            self._decrypt(master_id, proof, master_id.encode())
        except KeyUnavailableError:
            return False
        return True

    def _person_key(self, key: WrappedKey, tenant_id: UUID, user_id: UUID) -> PersonKey:
        return PersonKey(key.id, self._unwrap(key, tenant_id, user_id))

    def _unwrap(self, key: WrappedKey, tenant_id: UUID, user_id: UUID) -> bytes:
        return self._decrypt(
            key.master_id, key.wrapped, _associated(key.id, key.master_id, tenant_id, user_id)
        )

    def _wrap(self, key_id: UUID, key: bytes, tenant_id: UUID, user_id: UUID) -> WrappedKey:
        if self.active is None:
            raise KeyUnavailableError
        nonce = os.urandom(NONCE_BYTES)
        associated = _associated(key_id, self.active, tenant_id, user_id)
        return WrappedKey(
            key_id, self.active, nonce + self._cipher(self.active).encrypt(nonce, key, associated)
        )

    def _decrypt(self, master_id: str, sealed: bytes, associated: bytes) -> bytes:
        cipher = self._cipher(master_id)
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except (InvalidTag, ValueError):
            raise KeyUnavailableError from None

    def _cipher(self, master_id: str) -> AESGCM:
        try:
            return self._ciphers[master_id]
        except KeyError:
            raise KeyUnavailableError from None


def _associated(key_id: UUID, master_id: str, tenant_id: UUID, user_id: UUID) -> bytes:
    """Give the associated data of a wrapped key, so that it cannot be unwrapped in another row."""
    return f"{tenant_id}|{user_id}|{key_id}|{master_id}".encode()
