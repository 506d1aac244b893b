"""`litestar holds …`: operators place, lift and list legal holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import click
import msgspec
from msgspec import convert

from app.accounts.api.holds import Hold, HoldReason
from app.accounts.holds import HoldService
from app.accounts.operators import EVERYTHING, named_user, operator
from app.accounts.tenants import TenantService
from app.commands.running import lent, run
from app.commands.typed import Utf8
from app.config.settings import load_settings, stop
from app.databases.database import Database
from app.databases.sessions import UserSession
from app.http.structs import to_struct

T = TypeVar("T")
of_tenant = click.option(
    "--tenant", type=Utf8(), help="The tenant's name, as acme; not needed for an id."
)


class NamedHold(Hold, frozen=True):
    username: str


async def _in_transaction(work: Callable[[UserSession], Awaitable[T]]) -> T:
    async with lent(load_settings()) as databases, databases.user.session() as session:
        return await work(session)


@click.group()
def holds() -> None:
    """Place and lift legal holds."""


@holds.command("place")
@click.argument("who", type=Utf8())
@of_tenant
@click.option(
    "--reason", required=True, type=Utf8(), help='Why; a file number, as "litigation 2026-114".'
)
def place_hold(who: str, tenant: str | None, reason: str) -> None:
    """Place a legal hold on WHO: an id, or a username. Again, to change the reason."""

    async def place(session: UserSession) -> UUID:
        user_id = await _id(session, who, tenant)
        hold = await HoldService(session).place(operator(), user_id, convert(reason, HoldReason))
        return hold.user_id

    user_id = run(_in_transaction(place))
    click.echo(f"Placed a legal hold on {user_id}; a relay brings it into force.")


@holds.command("lift")
@click.argument("who", type=Utf8())
@of_tenant
def lift_hold(who: str, tenant: str | None) -> None:
    """Lift the legal hold on WHO: an id, or a username."""

    async def lift(session: UserSession) -> UUID:
        user_id = await _id(session, who, tenant)
        await HoldService(session).lift(operator(), user_id)
        return user_id

    user_id = run(_in_transaction(lift))
    click.echo(f"Lifted the legal hold on {user_id}; a relay delivers that.")


@holds.command("list")
@click.option("--tenant", type=Utf8(), help="Only this tenant's, as acme.")
@click.option("--json", "as_json", is_flag=True, help="For machines: one array.")
def list_holds(tenant: str | None, as_json: bool) -> None:
    """List legal holds: id, username, since when they are in force, and why."""
    found = run(_list(tenant))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for hold in found:
        since = hold.in_force_since
        state = f"in force since {since:%Y-%m-%dT%H:%M:%SZ}" if since else "not in force yet"
        click.echo(f"{hold.user_id}  {hold.username}  {state}  {hold.reason}")


async def _list(tenant: str | None) -> list[NamedHold]:
    async with lent(load_settings()) as databases:
        return [hold async for hold in _holds(databases.user, tenant)]


async def _holds(database: Database[UserSession], name: str | None) -> AsyncGenerator[NamedHold]:
    """Read them tenant by tenant, as row level security has it. Raises NotFound."""
    async with database.session() as session:
        tenants = TenantService(session)
        if name is None:
            wanted = [one.id for one in await tenants.page(limit=EVERYTHING, after=None)]
        else:
            wanted = [(await tenants.enter_named(name)).id]
    for tenant_id in wanted:
        async with database.session(tenant_id) as session:
            for hold, username in await HoldService(session).of_tenant(tenant_id):
                shown = to_struct(Hold, hold)
                yield NamedHold(**msgspec.structs.asdict(shown), username=username)


async def _id(session: UserSession, who: str, tenant: str | None) -> UUID:
    """Read an id, or find the user of this name. Raises NotFound."""
    try:
        return UUID(who)
    except ValueError:
        pass
    if not who.startswith("\\") and tenant is None:
        raise stop(f"say whose {who} is: --tenant T, or \\T\\{who}.")
    username = who if who.startswith("\\") else f"\\{tenant}\\{who}"
    return (await named_user(session, username)).id
