"""Alembic as a program runs it, and statements as the owner of what was migrated."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from alembic.config import Config

from app.commands.migrate import alembic_config
from app.config.settings import Settings
from app.databases.connection import DATABASES, DatabaseName
from tests.support.embedded_launcher import WHEEL

PSQL = WHEEL / "pginstall" / "bin" / "psql"
Rows = set[tuple[Any, ...]]


class Query(Protocol):
    def __call__(self, statement: str, *values: object) -> Rows: ...


def configured(settings: Settings, name: DatabaseName) -> Config:
    config = alembic_config(name)
    config.attributes["settings"] = settings
    return config


async def fetch(settings: Settings, name: DatabaseName, statement: str, *values: object) -> Rows:
    connection = await asyncpg.connect(settings.url(name, owner=True).dsn)
    try:
        return {tuple(row) for row in await connection.fetch(statement, *values)}
    finally:
        await connection.close()


def execute(settings: Settings, name: DatabaseName, script: Path) -> None:
    """Run it as a DBA does: psql sends one statement after the other, and stops at an error."""
    command = [PSQL, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", script]
    url = settings.url(name, owner=True).dsn
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def environment(settings: Settings) -> dict[str, str]:
    """The databases of these settings, as a shell would export them."""
    variables: dict[str, str] = {}
    for name in DATABASES:
        variables[f"DATABASE_URL_{name.upper()}"] = settings.url(name).dsn
        variables[f"DATABASE_URL_{name.upper()}_OWNER"] = settings.url(name, owner=True).dsn
    return variables
