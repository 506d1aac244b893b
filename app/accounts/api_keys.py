"""API keys: made, listed and ended by a tenant's administrators."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from sqlalchemy import delete, select, text, tuple_
from uuid_utils.compat import uuid7

from app.accounts.audit import Action, Audit
from app.accounts.authority import Authority, in_reach
from app.accounts.caller_models import ApiKey
from app.accounts.keys import new_key
from app.accounts.repositories import TenantLock, TenantRepository
from app.accounts.tokens import token_digest
from app.databases.repository import Repository
from app.databases.sessions import UserSession
from app.http.errors import Invalid, NotFound, found
from app.http.paging import Place
from app.http.security import Principal, Scope

TENANT_OF_KEY = text("SELECT tenant_of_api_key(:key_id)")
IS_PAST = text("SELECT now() >= CAST(:moment AS timestamptz)")
ALL_KEYS = text("SELECT * FROM platform_api_keys(:at, :id, :rows)")


class MadeKey(NamedTuple):
    """A new key; `text` is what its bearer sends, and is nowhere else."""

    stored: ApiKey
    text: str


class ApiKeyRepository(Repository[ApiKey]):
    model_type = ApiKey

    async def find(self, tenant_id: UUID, key_id: UUID) -> ApiKey | None:
        return await self.get_one_or_none(tenant_id=tenant_id, id=key_id)

    async def tenant_of(self, key_id: UUID) -> UUID | None:
        """Whichever tenant that is."""
        return await self.session.scalar(TENANT_OF_KEY, {"key_id": key_id})

    async def page(self, tenant_id: UUID, *, rows: int, after: Place | None) -> Sequence[ApiKey]:
        """Oldest first, by the database's clock."""
        order = tuple_(ApiKey.created_at, ApiKey.id)
        query = self.statement.order_by(ApiKey.created_at, ApiKey.id).limit(rows)
        if after is not None:
            query = query.where(order > (after.at, after.id))
        return await self.get_many(statement=query, tenant_id=tenant_id)

    async def page_of_all(self, *, rows: int, after: Place | None) -> Sequence[Any]:
        """The whole platform's."""
        at, after_id = after or (None, None)
        values = {"at": at, "id": after_id, "rows": rows}
        query = select(ApiKey).from_statement(ALL_KEYS)
        return (await self.session.scalars(query, values)).all()

    async def is_past(self, moment: datetime) -> bool:
        """Compare with the database's clock, which judges keys."""
        return bool(await self.session.scalar(IS_PAST, {"moment": moment}))

    async def remove(self, tenant_id: UUID, key_id: UUID) -> bool:
        """Delete the key and, by the foreign keys, the tokens it minted. False: it is not there."""
        query = delete(ApiKey).where(ApiKey.tenant_id == tenant_id, ApiKey.id == key_id)
        return await self.session.scalar(query.returning(ApiKey.id)) is not None


class ApiKeyService(SQLAlchemyAsyncRepositoryService[ApiKey, ApiKeyRepository]):
    """Raises NotFound for another tenant's key, and Unauthenticated and Forbidden for who was shut
    out meanwhile. Whoever is not a platform administrator acts in their own tenant.
    """

    repository_type = ApiKeyRepository

    def __init__(self, session: UserSession) -> None:
        super().__init__(session)
        self._authority = Authority(session)
        self._tenants = TenantRepository(session)
        self._audit = Audit(session)

    async def make(
        self,
        actor: Principal,
        *,
        tenant_id: UUID | None,
        name: str,
        scopes: Sequence[Scope],
        expires_at: datetime | None,
    ) -> MadeKey:
        """Make a key whose scopes never change. Raises Invalid for one that would have ended."""
        tenant_id = await self._entered(actor, in_reach(actor, tenant_id))
        if expires_at is not None and await self.repository.is_past(expires_at):
            raise Invalid.field("expires_at", "Send a moment in the future, or null.")
        sent = new_key()
        stored = ApiKey(
            tenant_id=tenant_id,
            id=uuid7(),
            name=name,
            digest=token_digest(sent),
            scopes=sorted(set(scopes)),
            created_by=actor.user_id if actor.token_digest else None,
            expires_at=expires_at,
        )
        made = MadeKey(await self.create(stored), sent)
        await self._audit.note(actor, stored.id, Action.API_KEY_CREATED)
        return made

    async def page(
        self, actor: Principal, *, tenant_id: UUID | None, limit: int, after: Place | None
    ) -> Sequence[ApiKey]:
        """Oldest first, one more than `limit` if there are more.

        An administrator of the platform sees every tenant's, unless `tenant_id` names one.
        """
        if actor.is_admin and tenant_id is None:
            return await self.repository.page_of_all(rows=limit + 1, after=after)
        tenant_id = in_reach(actor, tenant_id)
        await self._tenants.enter(tenant_id)
        return await self.repository.page(tenant_id, rows=limit + 1, after=after)

    async def one(self, actor: Principal, key_id: UUID) -> ApiKey:
        tenant_id = await self._tenant_of(actor, key_id)
        await self._tenants.enter(tenant_id)
        return found(await self.repository.find(tenant_id, key_id))

    async def end(self, actor: Principal, key_id: UUID) -> None:
        """End the key: from the commit on, neither it nor any token that it minted is good."""
        tenant_id = await self._entered(actor, await self._tenant_of(actor, key_id))
        if not await self.repository.remove(tenant_id, key_id):
            raise NotFound
        await self._audit.note(actor, key_id, Action.API_KEY_DELETED)

    async def _entered(self, actor: Principal, tenant_id: UUID) -> UUID:
        """Hold the tenant, so that it is not deleted meanwhile, and the actor as they were."""
        await self._tenants.enter(tenant_id)
        found(await self._tenants.find(tenant_id, TenantLock.KEEP))
        await self._authority.recheck(actor)
        return tenant_id

    async def _tenant_of(self, actor: Principal, key_id: UUID) -> UUID:
        if not actor.is_admin:
            return actor.tenant_id
        return found(await self.repository.tenant_of(key_id))
