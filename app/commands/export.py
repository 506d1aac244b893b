"""`litestar export`: what people have said, as a file that `litestar import` reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

import click

from app.accounts.models import User
from app.bridge.export.full import FullExport
from app.bridge.export.people import everybody, one_person, people_of_tenant
from app.commands.moving import lent_with_seals
from app.commands.output import Write, named, write_all, writing_to
from app.commands.running import run
from app.commands.typed import Utf8
from app.config.settings import stop
from app.databases.database import Databases

CLEAR = "The file holds in the clear what people have said; keep it as you keep a password."


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@click.option("--user", type=Utf8(), help="Only this person's: an id, or a name, as \\acme\\alice.")
@click.option("--tenant", type=Utf8(), help="Only this tenant's: an id, or a name, as acme.")
def export(file: str, user: str | None, tenant: str | None) -> None:
    """Write all that people have said to FILE, or to standard output, for an import.

    Each line is an object of JSON: what the export over HTTP has of each person, and what else an
    import needs.
    """
    if user is not None and tenant is not None:
        raise stop("say either --user or --tenant.")
    if user is not None:
        _check_user(user)
    with writing_to(file, is_private=True) as write:
        made = run(_export(write, user, tenant))
    click.echo(f"{made.summary} written to {named(file)}. {CLEAR}", err=True)


def _check_user(text: str) -> None:
    try:
        is_known = text.startswith("\\") or UUID(text)
    except ValueError:
        is_known = False
    if not is_known:
        raise stop(f"{text} is neither an id nor a username in full, such as \\acme\\alice.")


async def _export(write: Write, user: str | None, tenant: str | None) -> FullExport:
    async with lent_with_seals() as (databases, seals):
        made = FullExport(databases, seals)
        await write_all(made.lines(_people(databases, user, tenant)), write, "Exporting")
        return made


def _people(databases: Databases, user: str | None, tenant: str | None) -> AsyncGenerator[User]:
    if user is not None:
        return one_person(databases.user, user)
    if tenant is not None:
        return people_of_tenant(databases.user, tenant)
    return everybody(databases.user)
