"""Sweeps delete what was kept long enough, tenant by tenant, wherever a relay runs.

A policy is read in the user database before each batch, and the batch is deleted in the general
one. So (a) a policy that was changed or taken back holds from the next batch on, and a tenant that
was deleted has none; (b) a relay that dies between the two has deleted nothing that it did not
count: rows and tally are one transaction; (c) whatever a restore brings back is found again, since
a sweep remembers nothing. Any number of relays may sweep: each passes by what others have locked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text

from app.bridge.hooks import Hook, go_on
from app.bridge.retention import metrics
from app.bridge.retention.tenant import Overdue, Swept, TenantRows
from app.bridge.rows import FIRST, fetch_as
from app.config.settings import Settings
from app.databases.causes import OWNER_HELD, describe, sqlstate
from app.databases.database import Database, Databases
from app.telemetry import log

PAGE = 1000
POLICIES = text("SELECT tenant_id FROM retention_policies(:after, :page)")
SWEEPABLE = text("SELECT tenant_id FROM sweepable_tenants(:after, :page) AS tenant_id")


class Tenant(NamedTuple):
    """A tenant that may have something to sweep."""

    tenant_id: UUID


class TenantSwept(NamedTuple):
    """One tenant's share of a sweep: what was deleted, and the receipts of it."""

    tenant_id: UUID
    swept: Swept
    receipts: list[str]


class TenantOverdue(NamedTuple):
    """One tenant's share of the next sweep."""

    tenant_id: UUID
    retention_days: int | None
    overdue: Overdue


class Sweeper:
    """Sweeps all tenants once, or again and again. `hook` is called after each commit."""

    def __init__(
        self, databases: Databases, settings: Settings, *, hook: Hook | None = None
    ) -> None:
        self._databases = databases
        self._settings = settings
        self._reached = hook or go_on

    async def run(self) -> None:
        """Sweep until cancelled; the first time at once, for what a restore has brought back."""
        while True:
            pause = self._settings.retention_sweep_seconds
            started = time.monotonic()
            try:
                async for _ in self.sweep():
                    pass
                metrics.SECONDS.set(time.monotonic() - started)
            except Exception as error:  # noqa: BLE001  it is done again
                log.warning("retention_failed", **describe(error))
                pause = min(pause, self._settings.relay_backoff_max_seconds)
            await asyncio.sleep(pause)

    async def sweep(self) -> AsyncGenerator[TenantSwept]:
        """Sweep each tenant, and yield those where something was deleted or got its receipt.

        What fails in one tenant does not keep the others waiting; it raises at the end.
        """
        failed: Exception | None = None
        async for tenant_id in self._tenants():
            try:
                done = await self._sweep_tenant(tenant_id)
            except Exception as error:  # noqa: BLE001  raised below
                metrics.FAILED.inc()
                log.warning("retention_failed", tenant_id=str(tenant_id), **describe(error))
                failed = error
                continue
            if done.receipts or any(done.swept):
                yield done
        if failed:
            raise failed

    async def overdue(self) -> AsyncGenerator[TenantOverdue]:
        """Yield the tenants where a sweep would delete something now, and delete nothing."""
        async for tenant_id in self._tenants():
            rows = TenantRows(self._databases, tenant_id)
            days = await rows.policy()
            overdue = await rows.overdue(days)
            if overdue.chat_sessions:
                yield TenantOverdue(tenant_id, days, overdue)

    async def _sweep_tenant(self, tenant_id: UUID) -> TenantSwept:
        rows, total, started = TenantRows(self._databases, tenant_id), Swept(0, 0), time.monotonic()
        while (batch := await self._next(rows)) is not None:
            total = total.and_also(batch)
            metrics.SWEPT.labels("chat_sessions").inc(batch.chat_sessions)
            metrics.SWEPT.labels("messages").inc(batch.messages)
        receipts = await rows.receive(await rows.policy())
        await self._reached("receipt")
        if any(total):
            seconds = round(time.monotonic() - started, 3)
            log.info(
                "retention_swept", tenant_id=str(tenant_id), seconds=seconds, **total._asdict()
            )
        return TenantSwept(tenant_id, total, receipts)

    async def _next(self, rows: TenantRows) -> Swept | None:
        """Delete a batch, then leave the database to others for as long; None when none is left."""
        days = await rows.policy()
        await self._reached("policy")
        started = time.monotonic()
        try:
            batch = await rows.sweep(days, self._settings.relay_batch_rows)
        except Exception as error:
            if sqlstate(error)[0] != OWNER_HELD:
                raise
            batch = Swept(0, 0)  # a hold came while the batch was on its way; the next passes it by
        if batch is not None:
            await self._reached("batch")
            await asyncio.sleep(time.monotonic() - started)
        return batch

    async def _tenants(self) -> AsyncGenerator[UUID]:
        """Yield each tenant once that has a policy, sessions that have ended, or a tally."""
        seen: set[UUID] = set()
        sources: tuple[tuple[Database[Any], TextClause], ...] = (
            (self._databases.user, POLICIES),
            (self._databases.general, SWEEPABLE),
        )
        for database, statement in sources:
            after = FIRST
            while page := await fetch_as(
                Tenant, database, statement, {"after": after, "page": PAGE}
            ):
                after = page[-1].tenant_id
                for tenant_id in [one.tenant_id for one in page if one.tenant_id not in seen]:
                    seen.add(tenant_id)
                    yield tenant_id
