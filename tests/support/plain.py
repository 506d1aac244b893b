"""Services past HTTP, in an installation where nothing is sealed."""

from __future__ import annotations

from uuid import UUID, uuid4

from app.chat.words import Seal
from app.databases.sealing.master_keys import MasterKeys, WrappedKey
from app.databases.sealing.sealing import Sealing


class NoKeys:
    async def begin_if_new(self) -> bool:
        return False

    async def key_of(self, tenant_id: UUID, user_id: UUID) -> WrappedKey:
        raise AssertionError(tenant_id, user_id)


SEALING = Sealing(MasterKeys({}), NoKeys())


def plain(tenant_id: UUID | None = None) -> Seal:
    return Seal(tenant_id or uuid4(), None, is_sealing=False)
