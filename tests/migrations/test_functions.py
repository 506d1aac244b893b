"""The functions in app/databases/sql are exactly those that the migrations make."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.databases.connection import DATABASES, DatabaseName
from tests.support.servers import ROOT, Servers, numbers, run

FOLDER = ROOT / "app" / "databases" / "sql"
FUNCTIONS = """
SELECT proname, pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace ORDER BY oid::regprocedure::text
"""
DEFINED = re.compile(r"(?m)^CREATE OR REPLACE FUNCTION (\w+)\(")


def named(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def files(name: DatabaseName) -> list[Path]:
    return sorted((FOLDER / name).glob("*.sql"))


@pytest.mark.parametrize("path", [path for name in DATABASES for path in files(name)], ids=named)
def test_a_file_defines_the_function_it_is_named_after(path: Path) -> None:
    assert DEFINED.findall(path.read_text()) == [path.stem]


@pytest.fixture
async def copy(servers: Servers, template: str) -> AsyncIterator[str]:
    """Another copy of the migrated databases, whose functions may be replaced."""
    name = f"functions_{next(numbers)}"
    for server in servers:
        await run(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield name
    for server in servers:
        await run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("name", DATABASES)
async def test_the_files_say_what_the_migrations_made(
    name: DatabaseName, servers: Servers, database: str, copy: str
) -> None:
    server = servers.user if name == "user" else servers.general
    migrated = await functions(server.url(database, "bicameral_owner"))
    replaced = await functions(server.url(copy, "bicameral_owner"), run_first=files(name))
    assert migrated
    assert replaced == migrated
    assert {function for function, _ in migrated} == {path.stem for path in files(name)}


async def functions(url: str, run_first: list[Path] | None = None) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        for path in run_first or ():
            await connection.execute(path.read_text())
        return [(row["proname"], row[1]) for row in await connection.fetch(FUNCTIONS)]
    finally:
        await connection.close()
