"""`litestar reconcile` prints differences as lines or as JSON, with a progress bar for people."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from app.bridge.reconcile.differences import Difference
from app.bridge.reconcile.guards import GUARD_KINDS, cure
from app.bridge.reconcile.readings import Watch, nobody_watches
from app.bridge.reconcile.reconciler import Outcome, Reconciler, reconcile_settings
from app.commands.running import run
from app.config.settings import load_settings
from app.databases.database import Databases

STAGES = {
    "digests": "Comparing digests",
    "suspects": "Looking for rows past the triggers",
    "users": "Comparing users",
    "messages": "Looking for stray messages",
    "receipts": "Checking the receipts",
    "mended": "Mending",
    "erased": "Erasing",
}


@click.command()
@click.option("--repair", is_flag=True, help="Mend what is proved wrong.")
@click.option(
    "--keep-strangers",
    is_flag=True,
    help="With --repair: erase no one for being unknown to the user database.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines: one object.")
def reconcile(repair: bool, keep_strangers: bool, as_json: bool) -> None:
    """Compare the two databases. Exits 0 when they agree, 1 when they do not."""
    run(_reconcile(repair=repair, keep=keep_strangers, as_json=as_json))


async def _reconcile(*, repair: bool, keep: bool, as_json: bool) -> None:
    settings = load_settings()
    own = reconcile_settings(settings)
    databases, service = Databases.create(own), Databases.create(settings)
    try:
        async with _shown() as watch:
            reconciler = Reconciler(
                databases, own, service=service, watch=watch, keep_strangers=keep
            )
            outcome = await (reconciler.repair() if repair else _found(reconciler))
    finally:
        await databases.dispose()
        await service.dispose()
    click.echo(_json(outcome) if as_json else "\n".join(_lines(outcome, repaired=repair)))
    if outcome.left or outcome.pending:
        raise SystemExit(1)


async def _found(reconciler: Reconciler) -> Outcome:
    found = await reconciler.find()
    return Outcome(found, found)


@asynccontextmanager
async def _shown() -> AsyncGenerator[Watch]:
    """Show progress if standard error is a terminal; standard output is for the result."""
    if not sys.stderr.isatty():
        yield nobody_watches
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None)

        async def watch(stage: str, done: int, total: int) -> None:
            if stage in STAGES:
                progress.update(bar, description=STAGES[stage], completed=done, total=total or None)

        yield watch


def _lines(outcome: Outcome, *, repaired: bool) -> Iterator[str]:
    for one in sorted(outcome.found, key=str):
        yield f"{one}{_advice(one)}" if one in outcome.left else f"{one} (mended)"
    if outcome.pending:
        yield f"{outcome.pending} erasures are pending; the relay goes on with them."
    if outcome.left:
        yield f"{len(outcome.left)} differences{' could not be mended' if repaired else ''}."
    else:
        yield "The databases agree."


def _advice(one: Difference) -> str:
    """Name the statements with which the tables' owner mends this, if there is one."""
    if one.kind not in GUARD_KINDS:
        return ""
    return f"; as the owner: {'; '.join(cure(one)[1])}"


def _json(outcome: Outcome) -> str:
    found = [_plain(one, one not in outcome.left) for one in sorted(outcome.found, key=str)]
    answer: dict[str, Any] = {
        "agree": not outcome.left and not outcome.pending,
        "pending": outcome.pending,
        "differences": found,
    }
    return msgspec.json.encode(answer).decode()


def _plain(one: Difference, is_mended: bool) -> dict[str, Any]:
    return one._asdict() | {"meaning": one.meaning, "mended": is_mended}
