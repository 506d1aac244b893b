"""`litestar retention` sweeps now, or tells what a sweep would delete."""

from __future__ import annotations

from collections.abc import AsyncIterable
from datetime import UTC
from typing import Any

import click
import msgspec

from app.bridge.erasure.relay import relay_settings
from app.bridge.retention.sweeper import Sweeper, TenantOverdue, TenantSwept
from app.commands.progress import counting
from app.commands.running import lent, run
from app.config.settings import load_settings

Row = dict[str, Any]


@click.command()
@click.option("--dry-run", is_flag=True, help="Delete nothing; tell what would go.")
@click.option("--json", "as_json", is_flag=True, help="For machines: one object.")
def retention(dry_run: bool, as_json: bool) -> None:
    """Delete the conversations that were kept long enough, now; a relay does so by itself."""
    rows = run(_rows(dry_run=dry_run))
    total = {name: sum(row[name] for row in rows) for name in ("chat_sessions", "messages")}
    if as_json:
        answer = {"dry_run": dry_run, "tenants": rows} | total
        click.echo(msgspec.json.encode(answer).decode())
        return
    for row in rows:
        click.echo(_line(row))
    done = "would be deleted" if dry_run else "deleted"
    click.echo(f"{_counts(total)} {done}, in {len(rows)} tenants.")


async def _rows(*, dry_run: bool) -> list[Row]:
    settings = relay_settings(load_settings())
    async with lent(settings) as databases:
        sweeper = Sweeper(databases, settings)
        if dry_run:
            return [_overdue(one) async for one in _shown(sweeper.overdue(), "Counting")]
        return [_swept(one) async for one in _shown(sweeper.sweep(), "Sweeping tenants")]


async def _shown(tenants: AsyncIterable[Any], doing: str) -> AsyncIterable[Any]:
    with counting(doing) as advance:
        async for one in tenants:
            advance()
            yield one


def _overdue(one: TenantOverdue) -> Row:
    cutoff = one.overdue.cutoff.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    row = {"tenant_id": str(one.tenant_id), "retention_days": one.retention_days}
    return row | one.overdue._asdict() | {"cutoff": cutoff}


def _swept(one: TenantSwept) -> Row:
    return {"tenant_id": str(one.tenant_id), **one.swept._asdict(), "receipts": one.receipts}


def _line(row: Row) -> str:
    line = f"tenant {row['tenant_id']}: {_counts(row)}"
    if "cutoff" in row:
        return f"{line}, cutoff {row['cutoff']}"
    return "".join([line, *(f", receipt {one}" for one in row["receipts"])])


def _counts(row: Row) -> str:
    return f"{row['chat_sessions']} sessions, {row['messages']} messages"
