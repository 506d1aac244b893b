"""Text that an operator types or pipes is UTF-8, whatever the locale, or refused in one line."""

from __future__ import annotations

import re
import sys
from codecs import BOM_UTF8
from contextlib import suppress
from datetime import datetime

import click

from app.config.settings import stop

LONGEST_LINE_BYTES = 65_536
LINE_END = re.compile(rb"[\r\n]")  # a file from Windows ends its lines in both


class Utf8(click.ParamType[str]):
    """Python passes bytes that are no text on as surrogates, which no database stores."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _is_utf8(value):
            raise stop(f"{param.human_readable_name if param else 'argument'} is not UTF-8.")
        return value


class Moment(click.ParamType[datetime]):
    """A time with its zone, since one without would mean another moment on another machine."""

    name = "moment"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        moment = None
        with suppress(ValueError):
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if moment is None or moment.tzinfo is None:
            example = "such as 2030-01-31T00:00:00Z"
            self.fail(f"{value} is no moment with its zone, {example}.", param, ctx)
        return moment


def read_password(*, from_stdin: bool) -> str:
    """Read the first line of standard input, or ask twice on the terminal."""
    password = _first_line() if from_stdin else _asked()
    if not password:
        raise stop("the password is empty.")
    if "\0" in password:
        raise stop("the password holds a NUL character; is it UTF-16? Send UTF-8.")
    return password


def _first_line() -> str:
    if sys.stdin is None:  # closed, as `<&-` does it
        raise stop("no password came on standard input, which is closed.")
    try:
        line = sys.stdin.buffer.readline(LONGEST_LINE_BYTES)
    except OSError as error:
        raise stop(f"standard input: {error.strerror}") from None
    if not line:
        raise stop("no password came on standard input, which is empty.")
    try:
        return LINE_END.split(line.removeprefix(BOM_UTF8), maxsplit=1)[0].decode()
    except UnicodeDecodeError:
        raise stop("the password on standard input is not UTF-8.") from None


def _asked() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise stop("no terminal to ask for the password on; send it with --password-stdin.")
    password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    if not _is_utf8(password):
        raise stop("the password is not UTF-8.")
    return password


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
