"""`litestar import`: what `litestar export` has written, into another general database."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from app.bridge.importing.file import ImportFile
from app.bridge.importing.importer import Imported, Importer
from app.commands.moving import lent_with_seals
from app.commands.output import named
from app.commands.progress import filling
from app.commands.running import run
from app.config.settings import stop

SHOWN = 100  # sentences about what is bad


class Sentences:
    """Says what is wrong with a file on standard error, the first of it."""

    def __init__(self) -> None:
        self.count = 0

    def say(self, words: str) -> None:
        self.count += 1
        if self.count <= SHOWN:
            click.echo(words, err=True)
        elif self.count == SHOWN + 1:
            click.echo("There is more, which is not shown.", err=True)


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--with-strangers",
    is_flag=True,
    help="Also people whom the user database does not know; `reconcile` would erase them.",
)
def import_(file: str, with_strangers: bool) -> None:
    """Store the conversations of an export in the general database.

    Each person is stored whole and compared with the file, or not at all. It may be repeated: who
    is there already with the same rows stays as they are. Exits 0 when all are there, else 1.
    """
    sentences = Sentences()
    with _reading(file) as source:
        done = run(_import(source, sentences, with_strangers))
    click.echo(
        f"Imported {done.messages} messages in {done.chat_sessions} conversations of {done.people}"
        f" people; {done.present} were here already; {done.refused} were refused."
    )
    if sentences.count:
        raise SystemExit(1)


async def _import(source: BinaryIO, sentences: Sentences, with_strangers: bool) -> Imported:
    async with lent_with_seals() as (databases, seals):
        say = sentences.say
        with filling("Importing", _size(source)) as fill:
            importer = Importer(databases, seals, say, fill, with_strangers=with_strangers)
            await importer.run(ImportFile(source, say))
        return importer.done


@contextmanager
def _reading(file: str) -> Generator[BinaryIO]:
    if file == "-":
        if sys.stdin is None:
            raise stop("standard input is closed.")
        yield sys.stdin.buffer
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115  # what is read of it may fail otherwise
    except OSError as error:
        raise stop(f"{named(file)}: {error.strerror}") from None
    with source:
        yield source


def _size(source: BinaryIO) -> int | None:
    """Return a file's size; a pipe has none."""
    return os.fstat(source.fileno()).st_size or None
