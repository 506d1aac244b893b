"""Commands write their lines to a file, or to standard output."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.commands.progress import counting
from app.config.settings import stop

Write = Callable[[bytes], None]


def named(file: str) -> str:
    return "standard output" if file == "-" else file


@contextmanager
def writing_to(file: str) -> Generator[Write]:
    """Lend what writes to the file, which is there at once and empty, or to `-`, standard output.

    What cannot be opened or written ends the command with one line. (`run` would take an OSError
    for a database's.)
    """

    def write(line: bytes) -> None:
        try:
            output.write(line)
        except OSError as error:
            raise stop(f"{named(file)}: {error.strerror}") from None

    try:
        with _standard_output() if file == "-" else Path(file).open("wb") as output:
            yield write
    except OSError as error:
        raise stop(f"{named(file)}: {error.strerror}") from None


async def write_all(lines: AsyncIterable[bytes], write: Write, doing: str) -> int:
    """Write the lines, showing people what is being done; tell how many there were."""
    count = 0
    with counting(doing) as advance:
        async for line in lines:
            write(line)
            count += 1
            advance()
    return count


@contextmanager
def _standard_output() -> Generator[BinaryIO]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
