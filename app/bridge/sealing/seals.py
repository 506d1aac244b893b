"""Gives operators' commands the seal of each person whose rows they read or write."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from app.accounts.wrapped_keys import WrappedKeys
from app.bridge.sealing.keys import Keys
from app.chat.words import Seal
from app.config.settings import Settings
from app.databases.database import Databases
from app.databases.sealing.master_keys import WrappedKey


class KeyOwner(NamedTuple):
    """A person with their wrapped key, as it was just read from the user database."""

    user_id: UUID
    tenant_id: UUID
    wrapped_key: WrappedKey | None
    is_sealing: bool = False


class Seals:
    """Reads people's keys, and makes those of whoever has none where what is written is sealed."""

    def __init__(self, databases: Databases, settings: Settings) -> None:
        self._database = databases.user
        self._keys = Keys(settings, databases)
        self.is_sealing = False

    async def check(self) -> None:
        """Raises SettingsError where a master key that is in use is not there."""
        await self._keys.check()
        await self.look()

    async def look(self) -> None:
        """Ask whether what is written now is sealed."""
        async with self._database.session() as session:
            self.is_sealing = (await WrappedKeys(session).state()).is_on

    async def reading(self, tenant_id: UUID, user_id: UUID) -> Seal:
        """Give a person's seal that opens what is sealed."""
        wrapped = None
        if self.is_sealing or self._keys.master_keys.active is not None:
            async with self._database.session(tenant_id) as session:
                wrapped = await WrappedKeys(session).find(tenant_id, user_id)
        key = self._keys.sealing.reading(KeyOwner(user_id, tenant_id, wrapped))
        return Seal(tenant_id, key, is_sealing=False)

    async def writing(self, tenant_id: UUID, user_id: UUID) -> Seal:
        """Give a person's seal for new rows, too; a first key is committed before it is used."""
        if not self.is_sealing:
            return await self.reading(tenant_id, user_id)
        wrapped = await self._keys.key_of(tenant_id, user_id)
        key = self._keys.sealing.reading(KeyOwner(user_id, tenant_id, wrapped))
        return Seal(tenant_id, key, is_sealing=True)
