"""`litestar tenants …` and `litestar users …`: what operators do without the API."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TypeVar

import click
from msgspec import convert

from app.accounts.operators import Operators
from app.accounts.passwords import Passwords
from app.accounts.schemas import Email, NewUsername, TenantName
from app.commands.running import lent, run
from app.commands.typed import Utf8, read_password
from app.config.settings import load_settings, stop
from app.http.security import PLATFORM_TENANT, Role

T = TypeVar("T")


def _run(work: Callable[[Operators], Awaitable[T]]) -> T:
    return run(_with_operators(work))


async def _with_operators(work: Callable[[Operators], Awaitable[T]]) -> T:
    settings = load_settings()
    async with lent(settings) as databases:
        with closing(Passwords(settings)) as passwords:
            return await work(Operators(databases, passwords))


# Plain strings: of an enum's members click would take the names, in capitals.
ROLES = click.Choice([role.value for role in Role])
password_stdin = click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input, one line, as in `… < password-file`.",
)
yes = click.option("--yes", is_flag=True, help="Do not ask.")


def _confirm(question: str, is_sure: bool) -> None:
    if not is_sure and not (sys.stdin and sys.stdin.isatty()):
        raise stop("nobody is there to ask; say --yes.")
    if not is_sure:
        click.confirm(question, abort=True)


@click.group()
def tenants() -> None:
    """Manage tenants."""


@tenants.command("create")
@click.argument("name", type=Utf8())
def create_tenant(name: str) -> None:
    """Create the tenant NAME."""
    tenant = _run(lambda operators: operators.create_tenant(convert(name, TenantName)))
    click.echo(f"Created tenant {tenant.name} ({tenant.id}).")


@tenants.command("list")
def list_tenants() -> None:
    """List all tenants: id and name."""
    for tenant in _run(lambda operators: operators.tenants()):
        click.echo(f"{tenant.id}  {tenant.name}")


@tenants.command("delete")
@click.argument("name", type=Utf8())
@yes
def delete_tenant(name: str, yes: bool) -> None:
    """Delete the tenant NAME with all its users; what they said is erased."""
    _confirm(f"Delete the tenant {name}, its users and all they said?", yes)
    count = _run(lambda operators: operators.delete_tenant(name))
    click.echo(f"Deleted tenant {name} with {count} users; a relay erases what they said.")


@click.group()
def users() -> None:
    """Manage users."""


@users.command("create")
@click.argument("name", type=Utf8())
@click.option(
    "--tenant", type=Utf8(), help="The tenant's name, as acme; not needed where NAME is in full."
)
@click.option("--email", type=Utf8(), required=True, help="Their address, as alice@acme.example.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=ROLES,
    default=[Role.MEMBER.value],
    show_default=True,
    help="What they may do, as tenant_admin; may be given several times.",
)
@password_stdin
def create_user(
    name: str, tenant: str | None, email: str, roles: tuple[str, ...], password_stdin: bool
) -> None:
    """Create the user NAME. --role admin makes a platform administrator."""
    username = _in_full(name, PLATFORM_TENANT if Role.ADMIN in roles else tenant)
    password = read_password(from_stdin=password_stdin)
    user = _run(
        lambda operators: operators.create_user(
            convert(username, NewUsername),
            convert(email, Email),
            password,
            [Role(role) for role in roles],
        )
    )
    click.echo(f"Created user {user.username} ({user.id}).")


def _in_full(name: str, tenant: str | None) -> str:
    if name.startswith("\\"):
        return name
    if tenant is None:
        raise stop(f"say whose {name} is: --tenant T, or \\T\\{name}.")
    return f"\\{tenant}\\{name}"


@users.command("list")
@click.option("--tenant", type=Utf8(), help="Only this tenant's, as acme.")
def list_users(tenant: str | None) -> None:
    """List users: id, name, roles and whether they may log in."""
    for user in _run(lambda operators: operators.users(tenant)):
        state = "blocked" if user.is_blocked else "active" if user.is_active else "inactive"
        click.echo(f"{user.id}  {user.username}  {','.join(user.roles)}  {state}")


@users.command("block")
@click.argument("username", type=Utf8())
@click.option("--reason", type=Utf8(), help="Why, for administrators to read, as spam.")
def block_user(username: str, reason: str | None) -> None:
    """Block USERNAME (in full); every token of theirs ends."""
    _run(lambda operators: operators.block(username, reason))
    click.echo(f"Blocked {username}.")


@users.command("unblock")
@click.argument("username", type=Utf8())
def unblock_user(username: str) -> None:
    """Unblock USERNAME (in full)."""
    _run(lambda operators: operators.unblock(username))
    click.echo(f"Unblocked {username}.")


@users.command("set-password")
@click.argument("username", type=Utf8())
@password_stdin
def set_password(username: str, password_stdin: bool) -> None:
    """Give USERNAME (in full) another password; every token of theirs ends."""
    password = read_password(from_stdin=password_stdin)
    _run(lambda operators: operators.set_password(username, password))
    click.echo(f"Changed the password of {username}.")


@users.command("email")
@click.argument("username", type=Utf8())
@click.argument("email", type=Utf8())
def set_email(username: str, email: str) -> None:
    """Give USERNAME (in full) the address EMAIL, as alice@acme.example."""
    _run(lambda operators: operators.set_email(username, convert(email, Email)))
    click.echo(f"Changed the e-mail address of {username}.")


@users.command("roles")
@click.argument("username", type=Utf8())
@click.argument("roles", nargs=-1, required=True, type=ROLES)
def set_roles(username: str, roles: tuple[str, ...]) -> None:
    """Give USERNAME (in full) these ROLES in place of those of before."""
    _run(lambda operators: operators.set_roles(username, [Role(role) for role in roles]))
    click.echo(f"{username} is {', '.join(sorted(set(roles)))}.")


@users.command("delete")
@click.argument("username", type=Utf8())
@yes
def delete_user(username: str, yes: bool) -> None:
    """Delete USERNAME (in full); what they said is erased."""
    _confirm(f"Delete {username} and all they said?", yes)
    user_id = _run(lambda operators: operators.delete_user(username))
    click.echo(f"Deleted user {username} ({user_id}); a relay erases what they said.")
