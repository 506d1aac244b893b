"""Whoever reads or writes what somebody said asks here for the key of that person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
    def is_sealing(self) -> bool: ...  # what anybody writes is sealed from now on


# Commits a person's first key in the user database and returns it, or the one that somebody else
# was faster with.
MakeKey = Callable[[KeyHolder, WrappedKey], Awaitable[WrappedKey]]


class Sealing:
    """Gives people's keys. Where nothing was ever sealed nobody has one, and None is the answer.

    Raises KeyUnavailableError, which is answered 503, where this process has not the master key
    that it needs: neither a sealed row is shown as empty, nor a plain one written.
    """

    def __init__(self, master_keys: MasterKeys, make: MakeKey) -> None:
        self._master_keys = master_keys
        self._make = make

    def reading(self, person: KeyHolder) -> PersonKey | None:
        """Return the person's key, or None if nothing of theirs was ever sealed."""
        if person.wrapped_key is None:
            return None
        return self._unwrapped(person, person.wrapped_key)

    async def writing(self, person: KeyHolder) -> PersonKey | None:
        """Return the key to seal with, or None where what is written stays plain.

        A person's first key is committed, durably, before it is returned.
        """
        if not person.is_sealing:
            return None
        if self._master_keys.active is None:
            raise KeyUnavailableError
        wrapped = person.wrapped_key
        if wrapped is None:
            new = self._master_keys.new_key(person.tenant_id, person.user_id)
            wrapped = await self._make(person, new)
        return self._unwrapped(person, wrapped)

    def _unwrapped(self, person: KeyHolder, key: WrappedKey) -> PersonKey:
        return self._master_keys.person_key(key, person.tenant_id, person.user_id)
