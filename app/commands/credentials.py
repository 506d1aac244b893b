"""`litestar api-keys …` and `litestar tokens …`: what operators do with credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import click
from msgspec import convert

from app.accounts.api_keys import ApiKeyService
from app.accounts.caller_models import AccessToken, ApiKey
from app.accounts.caller_schemas import KeyName, KeyScope
from app.accounts.operators import EVERYTHING, named_user, operator
from app.accounts.tenants import TenantService
from app.accounts.token_service import TokenService
from app.commands.running import lent, run
from app.commands.typed import Utf8
from app.config.settings import load_settings, stop
from app.databases.sessions import UserSession
from app.http.security import Principal, Scope

T = TypeVar("T")

# Plain strings: of an enum's members click would take the names, in capitals.
SCOPES = click.Choice([scope.value for scope in KeyScope])
of_tenant = click.option("--tenant", required=True, type=Utf8(), help="Its name, as acme.")


def _run(work: Callable[[UserSession], Awaitable[T]]) -> T:
    return run(_in_transaction(work))


async def _in_transaction(work: Callable[[UserSession], Awaitable[T]]) -> T:
    async with lent(load_settings()) as databases, databases.user.session() as session:
        return await work(session)


@click.group("api-keys")
def api_keys() -> None:
    """Manage API keys."""


@api_keys.command("create")
@click.argument("name", type=Utf8())
@of_tenant
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=SCOPES,
    help="What it may be used for; again for each, as --scope chat:read --scope chat:write.",
)
@click.option("--expires-at", type=Utf8(), help="When it ends, as 2030-01-31T00:00:00Z.")
def create_api_key(name: str, tenant: str, scopes: tuple[str, ...], expires_at: str | None) -> None:
    """Make the API key NAME and print it, this once."""
    until = _moment(expires_at)

    async def create(session: UserSession) -> str:
        actor = await _operator_in(session, tenant)
        made = await ApiKeyService(session).make(
            actor,
            tenant_id=None,
            name=convert(name, KeyName),
            scopes=[Scope(scope) for scope in scopes],
            expires_at=until,
        )
        return made.text

    click.echo(_run(create))


@api_keys.command("list")
@click.option("--tenant", type=Utf8(), help="Only this tenant's, as acme.")
def list_api_keys(tenant: str | None) -> None:
    """List API keys: id, name, scopes, end and last use."""

    async def keys(session: UserSession) -> Sequence[ApiKey]:
        actor = operator() if tenant is None else await _operator_in(session, tenant)
        tenant_id = None if tenant is None else actor.tenant_id
        service = ApiKeyService(session)
        return await service.page(actor, tenant_id=tenant_id, limit=EVERYTHING, after=None)

    for key in _run(keys):
        ends, used = _shown(key.expires_at), _shown(key.last_used_at)
        click.echo(f"{key.id}  {key.name}  {','.join(key.scopes)}  ends {ends}  used {used}")


@api_keys.command("revoke")
@click.argument("key_id", type=click.UUID)
def revoke_api_key(key_id: UUID) -> None:
    """End the API key KEY_ID, and every token that it minted."""
    _run(lambda session: ApiKeyService(session).end(operator(), key_id))
    click.echo(f"Ended the API key {key_id}.")


@click.group()
def tokens() -> None:
    """Manage people's access tokens."""


@tokens.command("list")
@click.argument("username", type=Utf8())
def list_tokens(username: str) -> None:
    """List the live tokens of USERNAME (in full): id, kind, last use and end."""

    async def live(session: UserSession) -> Sequence[AccessToken]:
        user = await named_user(session, username)
        return await TokenService(session).of(user.id, limit=EVERYTHING)

    for token in _run(live):
        kind = "login" if token.scopes is None else "minted"
        used, ends = _shown(token.last_used_at), _shown(token.expires_at)
        click.echo(f"{token.id}  {kind}  used {used}  ends {ends}")


@tokens.command("revoke")
@click.argument("username", type=Utf8())
def revoke_tokens(username: str) -> None:
    """End every token of USERNAME (in full)."""

    async def revoke(session: UserSession) -> None:
        user = await named_user(session, username)
        await TokenService(session).end_all(operator(user.tenant_id), user.id)

    _run(revoke)
    click.echo(f"Ended the tokens of {username}.")


async def _operator_in(session: UserSession, tenant: str) -> Principal:
    return operator((await TenantService(session).enter_named(tenant)).id)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
    raise stop(f"--expires-at: {text} is no moment with its zone, such as 2030-01-31T00:00:00Z.")


def _shown(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
