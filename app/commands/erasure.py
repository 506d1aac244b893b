"""`litestar relay` and `litestar receipts …`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator, Iterable
from pathlib import Path

import click

from app.bridge.erasure.receipts import BrokenChainError, export, verify
from app.bridge.erasure.relay import relay_settings, running
from app.bridge.reconcile.reconciler import reconciling
from app.commands.output import Write, named, write_all, writing_to
from app.commands.progress import Advance, counting
from app.commands.running import lent, run
from app.config.settings import load_settings, stop
from app.databases.database import Databases
from app.operations.metrics import on_their_own_port


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
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--contains", metavar="HASH", help="The last hash of an earlier export, as 64 hex digits."
)
def verify_receipts(file: Path, contains: str | None) -> None:
    """Check that no receipt in FILE was changed, removed, inserted or moved. Needs no database."""
    try:
        with file.open("rb") as lines, counting("Verifying receipts") as advance:
            chain = verify(_counted(lines, advance), must_contain=contains)
    except BrokenChainError as error:
        raise stop(str(error)) from None
    click.echo(f"{chain.receipts} receipts, unbroken. Last hash: {chain.head}")


def _counted(lines: Iterable[bytes], advance: Advance) -> Generator[bytes]:
    for line in lines:
        yield line
        advance()
