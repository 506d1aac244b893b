"""`litestar relay` and `litestar receipts …`."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TypeVar

import click

from app.bridge.erasure.earlier import compare
from app.bridge.erasure.receipts import BrokenChainError, Chain, EndsBeforeError, export, verify
from app.bridge.erasure.relay import relay_settings, running
from app.bridge.reconcile.reconciler import reconciling
from app.commands.output import Write, named, write_all, writing_to
from app.commands.progress import Advance, counting
from app.commands.running import lent, run
from app.config.settings import load_settings, stop
from app.databases.database import Databases
from app.operations.metrics import on_their_own_port

T = TypeVar("T")

SHA256 = re.compile(r"[0-9a-f]{64}")
EXPORT = click.Path(exists=True, dir_okay=False, path_type=Path)
ENDS_BEFORE = 3


@click.command()
def relay() -> None:
    """Erase what deleted users said, until stopped; `litestar run` does so beside serving."""
    run(_relay())


async def _relay() -> None:
    settings = load_settings()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    databases = Databases.create(relay_settings(settings))
    await databases.check()
    async with (
        running(settings),
        reconciling(settings),
        on_their_own_port(settings, databases),
    ):
        click.echo("The relay is running.")
        await ending.wait()


@click.group()
def receipts() -> None:
    """Export and verify the receipts of erasures."""


@receipts.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
def export_receipts(file: str) -> None:
    """Write the chain of receipts to FILE, or to standard output, a line of JSON each."""
    with writing_to(file) as write:  # opened first: a chain without receipts is an empty file
        count = run(_export(write))
    click.echo(f"{count} receipts written to {named(file)}.", err=True)


async def _export(write: Write) -> int:
    async with lent(relay_settings(load_settings())) as databases:
        return await write_all(export(databases.general), write, "Writing receipts")


@receipts.command("verify")
@click.argument("file", type=EXPORT)
@click.option(
    "--contains",
    metavar="HASH",
    help="The last hash of an earlier export, as 64 hex digits, or that export's file.",
)
def verify_receipts(file: Path, contains: str | None) -> None:
    """Check that no receipt in FILE was changed, removed, inserted or moved. Needs no database.

    Exits 1 if one was, and 3 if none was, but the chain lacks what --contains names, as after a
    restore. With an earlier export it says whose receipts are missing.
    """
    if contains is None or SHA256.fullmatch(contains):
        chain = _verified(lambda lines: verify(lines, must_contain=contains), file)
    else:
        chain = _compared(file, EXPORT.convert(contains, None, click.get_current_context()))
    click.echo(f"{chain.receipts} receipts, unbroken. Last hash: {chain.head}")


def _compared(file: Path, earlier: Path) -> Chain:
    with earlier.open("rb") as before:
        comparison = _verified(lambda lines: compare(lines, before), file)
    for one in comparison.missing:
        click.echo(f"missing: receipt {one.seq}: tenant {one.tenant_id}, user {one.user_id}")
    try:
        comparison.check()
    except EndsBeforeError as error:
        raise stop(str(error), ENDS_BEFORE) from None
    return comparison.chain


def _verified(check: Callable[[Iterable[bytes]], T], file: Path) -> T:
    try:
        with file.open("rb") as lines, counting("Verifying receipts") as advance:
            return check(_counted(lines, advance))
    except BrokenChainError as error:
        code = ENDS_BEFORE if isinstance(error, EndsBeforeError) else 1
        raise stop(str(error), code) from None


def _counted(lines: Iterable[bytes], advance: Advance) -> Generator[bytes]:
    for line in lines:
        yield line
        advance()
