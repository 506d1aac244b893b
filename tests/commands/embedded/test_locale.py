"""The compose file makes its databases as `litestar dev` and the tests make theirs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.commands.embedded.cluster import Server
from app.commands.embedded.host import Programs, programs_for
from app.commands.embedded.pair import servers
from tests.support.logins import superuser
from tests.support.servers import PROGRAMS, ROOT

ARGUMENTS = re.compile(r"POSTGRES_INITDB_ARGS: (?:&initdb )?(.+)")
QUERY = """
SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale
FROM pg_database WHERE datname = 'template1'
"""


async def _made(server: Server) -> tuple[object, ...]:
    async with superuser(server.url()) as sql:
        return tuple(await sql.fetchrow(QUERY) or ())


@pytest.mark.skipif(PROGRAMS is not None, reason="the images are of the wheel's version")
@pytest.mark.parametrize("which", ["ours", "compose's"])
def test_a_database_is_utf8_and_ordered_by_postgresql_itself(which: str) -> None:
    options, same = ARGUMENTS.findall((ROOT / "docker-compose.yml").read_text())
    assert same == "*initdb"

    def choose(data_dir: Path, report: Callable[[str], None]) -> Programs:
        found = programs_for(data_dir, report)
        return found if which == "ours" else replace(found, locale=tuple(options.split()))

    with (
        TemporaryDirectory(prefix="bicameral-locale-") as folder,
        servers(Path(folder), durable=False, report=_silent, choose=choose) as pair,
    ):
        for server in pair:
            assert asyncio.run(_made(server)) == ("UTF8", b"b", "C.UTF-8")


def _silent(_: str) -> None:
    """Drop what `litestar dev` would print of its preparations."""
