"""Commands write their lines to a file, or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterable, Callable, Generator
from contextlib import contextmanager
from typing import BinaryIO

from app.commands.progress import counting
from app.config.settings import stop

Write = Callable[[bytes], None]
PRIVATE = 0o600


def named(file: str) -> str:
    return "standard output" if file == "-" else file


@contextmanager
def writing_to(file: str, *, is_private: bool = False) -> Generator[Write]:
    """Lend what writes to the file, which is there at once and empty, or to `-`, standard output.

    A private file is its owner's alone. What cannot be opened or written ends the command with one
    line. (`run` would take an OSError for a database's.)
    """

    def write(line: bytes) -> None:
        try:
            output.write(line)
        except OSError as error:
            raise stop(f"{named(file)}: {error.strerror}") from None

    try:
        with _standard_output() if file == "-" else _opened(file, is_private) as output:
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


def _opened(file: str, is_private: bool) -> BinaryIO:
    output = open(file, "wb", opener=_private if is_private else None)  # noqa: SIM115  # its caller closes it
    if is_private:
        os.fchmod(output.fileno(), PRIVATE)  # it may have been there, for all to read
    return output


def _private(file: str, flags: int) -> int:
    return os.open(file, flags, PRIVATE)


@contextmanager
def _standard_output() -> Generator[BinaryIO]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
