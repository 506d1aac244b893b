"""`litestar audit export`: who did what to whom, for an archive of one's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

import click
import msgspec

from app.accounts.api.audit import AuditEvent, shown
from app.accounts.audit import AuditRepository
from app.accounts.tenants import TenantService
from app.commands.output import Write, named, write_all, writing_to
from app.commands.running import lent, run
from app.commands.typed import Utf8
from app.config.settings import load_settings
from app.databases.database import Database
from app.databases.sessions import UserSession

ROWS = 1000


@click.group()
def audit() -> None:
    """Export audit events."""


@audit.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@click.option("--tenant", type=Utf8(), help="Only this tenant's, by its name, as acme.")
@click.option(
    "--after",
    type=click.UUID,
    metavar="ID",
    help="Go on after this event of an earlier export, named as there.",
)
def export_events(file: str, tenant: str | None, after: UUID | None) -> None:
    """Write audit events to FILE, or to standard output, oldest first, a line of JSON each."""
    with writing_to(file) as write:
        count = run(_export(write, tenant, after))
    click.echo(f"{count} audit events written to {named(file)}.", err=True)


async def _export(write: Write, tenant: str | None, after: UUID | None) -> int:
    async with lent(load_settings()) as databases:
        lines = _lines(databases.user, tenant, after)
        return await write_all(lines, write, "Writing audit events")


async def _lines(
    database: Database[UserSession], tenant: str | None, after: UUID | None
) -> AsyncGenerator[bytes]:
    """Read page by page, each in a transaction of its own. Raises NotFound for no such tenant."""
    tenant_id = None
    if tenant is not None:
        async with database.session() as session:
            tenant_id = (await TenantService(session).enter_named(tenant)).id
    page: list[AuditEvent] | None = None
    while page is None or len(page) == ROWS:
        async with database.session() as session:
            events = AuditRepository(session=session)
            rows = await events.exported(tenant_id, rows=ROWS, after=after)
            page = shown(rows, AuditEvent)
        for event in page:
            yield msgspec.json.encode(event) + b"\n"
            after = event.id
