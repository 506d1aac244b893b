"""Repositories fetch and change rows of the user database; services say who may ask for it.

Each class is one table, in the caller's transaction. Row level security shows a session the rows
of its tenant, and `TenantRepository.enter` moves it to another one. What must look across tenants
goes through a SECURITY DEFINER function (app/databases/sql/user).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Delete, Row, delete, func, select, text, true, tuple_, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import array

from app.accounts.hold_models import Hold
from app.accounts.models import LoginAddress, SubjectLedger, Tenant, User, UserBlock
from app.databases.repository import Repository
from app.databases.sealing.master_keys import WrappedKey
from app.databases.sessions import UserSession, act_in_tenant
from app.http.paging import Place, made_at
from app.http.security import Role

TENANT_NAMED = text("SELECT tenant_named(:name)")
TENANTS_PAGE = text("SELECT * FROM platform_tenants_by_time(:at, :id, :made_at, :rows)")
TENANT_OF_USER = text("SELECT tenant_of_user(:user_id)")
USERS_PAGE = text("SELECT * FROM platform_user_page(:at, :id, :made_at, :rows)")
LOCK_EXTERNAL_ID = text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:whose AS text), 3))")

REMOVED_AT_ONCE = 1000  # users; each costs some 0.3 ms, most of it in the ledger's trigger

# A row that the session has read before is else given as it was before the wait for its lock.
AS_LOCKED = {"populate_existing": True}


class TenantLock(Enum):
    """A transaction holds the tenant it changes something in like this, before any of its users."""

    KEEP = {"read": True, "key_share": True}  # FOR KEY SHARE: it is not deleted meanwhile
    QUEUE = {"key_share": True}  # FOR NO KEY UPDATE: one at a time changes users that are there
    REMOVE = {"key_share": False}  # FOR UPDATE: nobody else changes anything in it


class TenantRepository(Repository[Tenant]):
    model_type = Tenant

    async def enter(self, tenant_id: UUID) -> None:
        """Show the session this tenant's rows, no others, to the end of the transaction."""
        session = cast("UserSession", self.session)
        if session.info.get("tenant_id") != tenant_id:
            await act_in_tenant(session, tenant_id)

    async def find(self, tenant_id: UUID, lock: TenantLock | None = None) -> Tenant | None:
        if lock is None:
            return await self.get_one_or_none(id=tenant_id)
        return await self.get_one_or_none(
            id=tenant_id, with_for_update=lock.value, execution_options=AS_LOCKED
        )

    async def id_named(self, name: str) -> UUID | None:
        return await self.session.scalar(TENANT_NAMED, {"name": name})

    async def page(self, *, rows: int, after: Place | None) -> Sequence[Tenant]:
        """Read a page of all tenants, oldest first by the database's clock."""
        query = select(Tenant).from_statement(TENANTS_PAGE)
        return (await self.session.scalars(query, place_values(after) | {"rows": rows})).all()

    async def save(self, tenant: Tenant) -> Tenant:
        """Send what was changed of the tenant."""
        await self.session.flush()
        return tenant

    async def remove(self, tenant_id: UUID) -> None:
        """Delete the tenant and everybody in it, in one transaction.

        The users go a portion at a time: all of a large tenant's in one statement would reach the
        statement timeout. Nobody joins them meanwhile, since the tenant's row is locked.
        """
        some = select(User.id).where(User.tenant_id == tenant_id).limit(REMOVED_AT_ONCE)
        users = delete(User).where(User.tenant_id == tenant_id, User.id.in_(some))
        while await self._removed(users):
            pass
        await self.session.execute(delete(Tenant).where(Tenant.id == tenant_id))

    async def _removed(self, users: Delete) -> bool:
        gone = users.returning(User.id).execution_options(synchronize_session=False)
        return len((await self.session.scalars(gone)).all()) == REMOVED_AT_ONCE


class UserRepository(Repository[User]):
    model_type = User

    async def find(self, tenant_id: UUID, user_id: UUID, *, lock: bool = False) -> User | None:
        """Read a user; `lock` holds the row to the end of the transaction."""
        return await self.get_one_or_none(
            tenant_id=tenant_id,
            id=user_id,
            with_for_update=lock,
            execution_options=AS_LOCKED if lock else None,
        )

    async def find_with_key(
        self, tenant_id: UUID, user_id: UUID
    ) -> tuple[User, WrappedKey | None] | None:
        """Read a user together with the wrapped key of what they said."""
        whose = func.wrapped_key_of(tenant_id, user_id)
        key = whose.table_valued("id", "master_id", "wrapped")
        query = select(User, key.c.id, key.c.master_id, key.c.wrapped).outerjoin(key, true())
        query = query.where(User.tenant_id == tenant_id, User.id == user_id)
        row = (await self.session.execute(query)).one_or_none()
        if row is None:
            return None
        user, *values = row
        return user, WrappedKey(*values) if values[0] else None

    async def named(self, tenant_id: UUID, username: str) -> User | None:
        """Find the user with this name; `username` is in full, in any case."""
        return await self.get_one_or_none(
            User.username_key == func.username_key(username), tenant_id=tenant_id
        )

    async def known_as(self, tenant_id: UUID, external_id: str) -> User | None:
        return await self.get_one_or_none(tenant_id=tenant_id, external_id=external_id)

    async def lock_external_id(self, tenant_id: UUID, external_id: str) -> None:
        """Make everybody else who asks for this lock wait to the end of the transaction.

        Of two ids with the same hash, one waits for the other for no reason, and that is all.
        """
        whose = {"whose": f"{tenant_id} {external_id}"}
        await self.session.execute(LOCK_EXTERNAL_ID, whose)

    async def tenant_of(self, user_id: UUID) -> UUID | None:
        """Find the user's tenant, whichever it is; a deleted user has one, too."""
        return await self.session.scalar(TENANT_OF_USER, {"user_id": user_id})

    async def page(self, tenant_id: UUID, *, rows: int, after: Place | None) -> Sequence[User]:
        """Read a page of users, oldest first by the database's clock."""
        order = tuple_(User.created_at, User.id)
        query = self.statement.order_by(*order).limit(rows)
        if after is not None:
            at = after.at or await self._created_at(tenant_id, after.id) or made_at(after.id)
            query = query.where(order > (at, after.id))
        return await self.get_many(statement=query, tenant_id=tenant_id)

    async def _created_at(self, tenant_id: UUID, user_id: UUID) -> datetime | None:
        query = select(User.created_at).filter_by(tenant_id=tenant_id, id=user_id)
        return await self.session.scalar(query)

    async def page_of_all(self, *, rows: int, after: Place | None) -> Sequence[Row[Any]]:
        """Read a page of the whole platform's users, without password hashes."""
        values = place_values(after) | {"rows": rows}
        return (await self.session.execute(USERS_PAGE, values)).all()

    async def has_another(self, user: User, roles: Sequence[Role]) -> bool:
        """Tell whether somebody else in the user's tenant has one of the roles and may log in."""
        return await self.exists(
            User.tenant_id == user.tenant_id,
            User.id != user.id,
            User.is_active.is_(True),
            User.is_blocked.is_(False),
            User.roles.has_any(array([role.value for role in roles])),
        )

    async def set_hash(self, user_id: UUID, password_hash: str) -> None:
        query = update(User).where(User.id == user_id)
        await self.session.execute(query.values(password_hash=password_hash))

    async def save(self, user: User) -> User:
        """Send what was changed of the user; the statement returns `updated_at`."""
        await self.session.flush()
        return user

    async def remove(self, user_id: UUID) -> None:
        """Delete the user with tokens, block and keys; a trigger notes it in the ledger."""
        await self.session.execute(delete(User).where(User.id == user_id))


class BlockRepository(Repository[UserBlock]):
    model_type = UserBlock

    async def put(self, user: User, reason: str | None, blocked_by: UUID) -> None:
        """Note why and by whom; the last block's reason holds."""
        new = postgresql.insert(UserBlock).values(
            user_id=user.id, tenant_id=user.tenant_id, reason=reason, blocked_by=blocked_by
        )
        changed = {"reason": new.excluded.reason, "blocked_by": new.excluded.blocked_by}
        await self.session.execute(
            new.on_conflict_do_update(index_elements=[UserBlock.user_id], set_=changed)
        )

    async def lift(self, user_id: UUID) -> None:
        await self.session.execute(delete(UserBlock).where(UserBlock.user_id == user_id))


class HoldRepository(Repository[Hold]):
    model_type = Hold

    async def of(self, tenant_id: UUID, user_id: UUID) -> Hold | None:
        return await self.get_one_or_none(tenant_id=tenant_id, user_id=user_id)

    async def put(self, user: User, reason: str, placed_by: UUID | None) -> Hold:
        hold = Hold(tenant_id=user.tenant_id, user_id=user.id, reason=reason, placed_by=placed_by)
        return await self.add(hold)

    async def change(self, hold: Hold, reason: str) -> Hold:
        hold.reason = reason
        await self.session.flush()
        return hold

    async def lift(self, hold: Hold) -> None:
        await self.session.delete(hold)
        await self.session.flush()

    async def of_tenant(self, tenant_id: UUID) -> Sequence[tuple[Hold, str]]:
        """Read the tenant's holds, and whose they are by username; the oldest comes first."""
        query = select(Hold, User.username).join(
            User, (User.tenant_id == Hold.tenant_id) & (User.id == Hold.user_id)
        )
        query = query.where(Hold.tenant_id == tenant_id).order_by(Hold.placed_at, Hold.user_id)
        return [(row[0], row[1]) for row in await self.session.execute(query)]


class LoginAddressRepository(Repository[LoginAddress]):
    """Reads them; confirm_login.sql writes."""

    model_type = LoginAddress

    async def of(self, user: User) -> Sequence[LoginAddress]:
        """Read the user's addresses; the oldest comes first."""
        query = self.statement.order_by(LoginAddress.last_login_at)
        return await self.get_many(statement=query, tenant_id=user.tenant_id, user_id=user.id)


class LedgerRepository(Repository[SubjectLedger]):
    model_type = SubjectLedger

    async def entry(self, tenant_id: UUID, user_id: UUID) -> SubjectLedger | None:
        return await self.get_one_or_none(tenant_id=tenant_id, user_id=user_id)


def place_values(place: Place | None) -> dict[str, Any]:
    """Give the arguments of a platform's function for the place after which its page begins."""
    if place is None:
        return {"at": None, "id": None, "made_at": None}
    return {"at": place.at, "id": place.id, "made_at": made_at(place.id)}
