"""Gives the key under which what somebody says is sealed, to whoever reads or writes it."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from app.databases.sealing.master_keys import KeyUnavailableError, MasterKeys, WrappedKey
from app.databases.sealing.person_keys import PersonKey


class KeyHolder(Protocol):
    """A person as the user database has just told of them; Principal is one."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def tenant_id(self) -> UUID: ...
    @property
    def wrapped_key(self) -> WrappedKey | None: ...
    @property
    def is_sealing(self) -> bool: ...  # what they write is to be sealed


class KeyStore(Protocol):
    """The user database's side, which chat cannot import."""

    async def begin_if_new(self) -> bool:
        """Begin to seal where nobody has ever said anything; tell whether it has begun."""
        ...

    async def key_of(self, tenant_id: UUID, user_id: UUID) -> WrappedKey:
        """Return a person's wrapped key; where there is none, make and commit it first."""
        ...


class Sealing:
    """Gives people's keys. Where nothing was ever sealed nobody has one, and None is the answer.

    Raises KeyUnavailableError, which is answered 503, where this process has not the master key
    that it needs: neither a sealed row is shown as empty, nor a plain one written.
    """

    def __init__(self, master_keys: MasterKeys, store: KeyStore) -> None:
        self._master_keys = master_keys
        self._store = store
        self.may_be_new = master_keys.active is not None

    def reading(self, person: KeyHolder) -> PersonKey | None:
        """Return the person's key, or None if nothing of theirs was ever sealed."""
        if person.wrapped_key is None:
            return None
        return self._unwrapped(person, person.wrapped_key)

    async def writing(self, person: KeyHolder) -> PersonKey | None:
        """Return the key to seal with, or None where what is written stays plain.

        A person's first key is committed, durably, before it is returned.
        """
        if not (person.is_sealing or await self._begun()):
            return None
        if self._master_keys.active is None:
            raise KeyUnavailableError
        key = person.wrapped_key or await self._store.key_of(person.tenant_id, person.user_id)
        return self._unwrapped(person, key)

    async def _begun(self) -> bool:
        """Ask once whether the installation is new; from its first conversation on it is not."""
        if self.may_be_new and await self._store.begin_if_new():
            return True
        self.may_be_new = False
        return False

    def _unwrapped(self, person: KeyHolder, key: WrappedKey) -> PersonKey:
        return self._master_keys.person_key(key, person.tenant_id, person.user_id)
