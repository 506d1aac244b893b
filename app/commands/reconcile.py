"""`litestar reconcile`, with a progress bar for people."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import Progress

from app.bridge.reconcile.readings import Watch, nobody_watches
from app.bridge.reconcile.reconciler import Outcome, Reconciler, reconcile_settings
from app.commands.differences import as_json_text, lines
from app.commands.running import lent, run
from app.commands.typed import Moment
from app.config.settings import load_settings

THEY_DIFFER = 1
NOT_COMPARED = 3  # click has 2 for wrong usage
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
@click.option(
    "--end-tokens",
    is_flag=True,
    help="With --repair: end all access tokens, though nothing proves that the user database was"
    " restored; for when both were.",
)
@click.option(
    "--since",
    type=Moment(),
    help="List whose credentials may be old, if anything is known of them since that moment, as"
    " 2030-01-31T00:00:00Z.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines: one object.")
def reconcile(
    repair: bool, keep_strangers: bool, end_tokens: bool, since: datetime | None, as_json: bool
) -> None:
    """Compare the two databases. Exits 0 when they agree, 1 when they do not.

    Exits 2 for a wrong option, and 3 when they could not be compared, as when one is away.

    Where the user database was restored, --repair ends all access tokens, and whose passwords,
    roles, blocks and API keys may be old is listed: everybody's, or with --since fewer.
    """
    if end_tokens and not repair:
        raise click.UsageError("--end-tokens goes with --repair.")
    wanted = Wanted(repair=repair, keep=keep_strangers, end_tokens=end_tokens, since=since)
    outcome = run(_reconcile(wanted), failed=NOT_COMPARED)
    click.echo(as_json_text(outcome) if as_json else "\n".join(lines(outcome, repaired=repair)))
    if outcome.left or outcome.pending:
        raise SystemExit(THEY_DIFFER)


class Wanted(NamedTuple):
    """The command's options."""

    repair: bool
    keep: bool
    end_tokens: bool
    since: datetime | None


async def _reconcile(wanted: Wanted) -> Outcome:
    settings = load_settings()
    own = reconcile_settings(settings)
    async with lent(own) as databases, lent(settings) as service, _shown() as watch:
        reconciler = Reconciler(
            databases,
            own,
            service=service,
            watch=watch,
            keep_strangers=wanted.keep,
            end_tokens=wanted.end_tokens,
            since=wanted.since,
        )
        return await (reconciler.repair() if wanted.repair else reconciler.look())


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
