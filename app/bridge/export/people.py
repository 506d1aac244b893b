"""Reads what an export has of people from the user database, and who there is to export."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from app.accounts.api.audit import shown as shown_events
from app.accounts.audit import Action, Audit, AuditRepository
from app.accounts.digests import shown
from app.accounts.models import User
from app.accounts.operators import named_user, operator
from app.accounts.repositories import HoldRepository, LoginAddressRepository
from app.accounts.tenants import TenantService
from app.accounts.users import UserService
from app.bridge.export.lines import AuditEventLine, HoldLine, LoginAddressLine
from app.databases.database import Database
from app.databases.sessions import UserSession
from app.http.paging import Place
from app.http.structs import to_struct

EVENTS = 1000
PEOPLE = 500
UserDatabase = Database[UserSession]


async def events_of(
    database: UserDatabase, subject: User, after: AuditEventLine | None
) -> list[AuditEventLine]:
    """Return the next audit events about them, oldest first; fewer than EVENTS at the end."""
    async with database.session(subject.tenant_id) as session:
        events = AuditRepository(session=session)
        rows = await events.about(subject.id, rows=EVENTS, after=after and after.id)
        return shown_events(rows, AuditEventLine)


async def last_lines_of(database: UserDatabase, subject: User) -> list[LoginAddressLine | HoldLine]:
    """Return the addresses they logged in from, and the legal hold on them, if there is one."""
    async with database.session(subject.tenant_id) as session:
        rows = await LoginAddressRepository(session).of(subject)
        hold = await HoldRepository(session=session).of(subject.tenant_id, subject.id)
        addresses = [LoginAddressLine(shown(one.address), one.last_login_at) for one in rows]
        return [*addresses, *([to_struct(HoldLine, hold)] if hold else [])]


async def one_person(database: UserDatabase, whom: str) -> AsyncGenerator[User]:
    """Yield the person with this id, or username in full. Raises NotFound."""
    async with database.session() as session:
        user = await (
            named_user(session, whom)
            if whom.startswith("\\")
            else UserService(session).one(operator(), UUID(whom))
        )
        await _note(session, [user])
    yield user


async def people_of_tenant(database: UserDatabase, whose: str) -> AsyncGenerator[User]:
    """Yield everybody in the tenant with this id or name. Raises NotFound."""
    async with database.session() as session:
        tenants = TenantService(session)
        tenant_id = _id(whose)
        tenant = await (tenants.enter(tenant_id) if tenant_id else tenants.enter_named(whose))
    async for user in _people_in(database, tenant.id):
        yield user


async def everybody(database: UserDatabase) -> AsyncGenerator[User]:
    """Yield all people, tenant by tenant."""
    page, after = PEOPLE, None
    while page >= PEOPLE:
        async with database.session() as session:
            tenants = await TenantService(session).page(limit=PEOPLE - 1, after=after)
        page = len(tenants)
        for tenant in tenants:
            after = Place(tenant.created_at, tenant.id)
            async for user in _people_in(database, tenant.id):
                yield user


async def _people_in(database: UserDatabase, tenant_id: UUID) -> AsyncGenerator[User]:
    """Read them in pages; that a page is exported is noted before the first of it is."""
    page: Sequence[User] | None = None
    while page is None or len(page) == PEOPLE:
        after = Place(page[-1].created_at, page[-1].id) if page else None
        async with database.session(tenant_id) as session:
            page = await UserService(session).page(
                operator(tenant_id), limit=PEOPLE - 1, after=after, tenant_id=tenant_id
            )
            await _note(session, page)
        for user in page:
            yield user


async def _note(session: UserSession, people: Sequence[User]) -> None:
    await Audit(session).note_all(operator(), [one.id for one in people], Action.USER_EXPORTED)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
