"""Passwords on standard input, and other words of operators: stored as meant, or refused."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from io import BytesIO, TextIOWrapper

import pytest

from app.commands.typed import read_password
from tests.support.commands import python, start, urls
from tests.support.factories import World
from tests.support.servers import Servers

# These start processes, some for many seconds: run with `pytest -m slow` and by .ci/run slow.
slow = pytest.mark.slow

ALICE = "\\acme\\alice"
TYPED = "ein stiller Winkel für Bücher"
LOCALES = {"C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "own": {}}
READ = "from app.commands.typed import read_password; print(ascii(read_password(from_stdin=True)))"
TAKEN = {
    "no end": b"",
    "LF": b"\n",
    "CRLF": b"\r\n",
    "CR": b"\r",
    "a line more": b"\r\nanother line\r\n",
    "CR as end of each": b"\ranother line\r",
}
REFUSED = {
    "latin-1": (TYPED.encode("latin-1") + b"\n", "the password on standard input is not UTF-8."),
    "UTF-16 with a mark": (TYPED.encode("utf-16"), "the password on standard input is not UTF-8."),
    "UTF-16": ("a quiet corner\n".encode("utf-16-le"), "the password holds a NUL character"),
    "NUL": (b"a quiet corner\0of the library\n", "the password holds a NUL character"),
    "half a sign": (TYPED.encode()[: TYPED.encode().index(b"\xc3") + 1], "is not UTF-8."),
    "a surrogate": (b"a quiet corner \xed\xb3\xbc\n", "is not UTF-8."),
    "an empty line": (b"\n", "the password is empty."),
    "CRLF only": (b"\r\n", "the password is empty."),
    "a mark only": (BOM_UTF8, "the password is empty."),
    "nothing": (b"", "no password came on standard input, which is empty."),
}


def typed(monkeypatch: pytest.MonkeyPatch, line: bytes) -> str:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(line)))
    return read_password(from_stdin=True)


def test_the_first_line_is_taken_as_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    for end in TAKEN.values():
        assert typed(monkeypatch, BOM_UTF8 + TYPED.encode() + end) == TYPED


@pytest.mark.parametrize("sent", REFUSED)
def test_a_line_that_cannot_be_meant_is_refused(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin, why = REFUSED[sent]
    with pytest.raises(SystemExit, match=re.escape(why)):
        typed(monkeypatch, stdin)


@slow
@pytest.mark.parametrize("locale", LOCALES)
async def test_a_password_is_the_first_line_as_utf8(locale: str) -> None:
    for end in TAKEN.values():
        for mark in (b"", BOM_UTF8):
            ended = await python("-c", READ, env=LOCALES[locale], stdin=mark + TYPED.encode() + end)
            assert ended.out == f"{TYPED!a}\n", ended


@slow
@pytest.mark.parametrize("sent", REFUSED)
async def test_what_cannot_be_meant_is_refused_in_one_line(sent: str) -> None:
    stdin, why = REFUSED[sent]
    ended = await python("-c", READ, env={}, stdin=stdin)
    assert (ended.code, ended.out) == (1, ""), ended
    assert why in ended.line


@slow
async def test_a_closed_standard_input_is_told() -> None:
    close = "import os, sys; sys.stdin = None; "
    ended = await python("-c", close + READ, env={})
    assert "no password came on standard input, which is closed." in ended.line


@slow
async def test_a_folder_on_standard_input_is_no_password() -> None:
    folder = "import os; os.dup2(os.open('/', os.O_RDONLY), 0); "
    ended = await python("-c", folder + READ, env={})
    assert "standard input: Is a directory" in ended.line


@slow
async def test_every_command_that_reads_a_password_reads_it_so(
    servers: Servers, database: str, world: World
) -> None:
    env = urls(servers, database)
    await world.operators.ensure_tenant("acme")
    create = ("users", "create", ALICE, "--email", "a@example.org", "--password-stdin")
    change = ("users", "set-password", ALICE, "--password-stdin")
    for command, password in ((create, TYPED), (change, TYPED + "!")):
        latin = await start(*command, env=env, stdin=password.encode("latin-1") + b"\n")
        assert (latin.code, latin.out) == (1, "")
        assert latin.line == "bicameral: the password on standard input is not UTF-8."
        ended = await start(*command, env=env, stdin=f"{password}\r\n")
        assert ended.code == 0, ended
        assert await world.log_in(ALICE, password)


@slow
async def test_an_argument_that_is_no_text_is_refused_in_one_line(
    servers: Servers, database: str
) -> None:
    word = os.fsdecode(b"\\acme\\d\xfcra")
    env = urls(servers, database)
    for command in (
        ("users", "block", word),
        ("users", "block", ALICE, "--reason", word),
        ("users", "list", "--tenant", word),
        ("users", "create", ALICE, "--email", f"{word}@example.org", "--password-stdin"),
        ("tenants", "create", word),
    ):
        ended = await start(*command, env=env, stdin=TYPED)
        assert (ended.code, ended.out) == (1, ""), ended
        assert ended.line.endswith("is not UTF-8."), ended


@slow
async def test_without_a_terminal_to_ask_on_the_option_is_named() -> None:
    asking = READ.replace("from_stdin=True", "from_stdin=False")
    ended = await python("-c", asking, env={}, stdin="typed\n")
    assert (ended.code, "--password-stdin" in ended.line) == (1, True), ended
