"""A downgrade leaves the schema exactly as it was before the upgrade, at every step."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.config.settings import Settings
from app.databases.connection import DatabaseName
from tests.support.embedded_launcher import WHEEL
from tests.support.migrations import Query
from tests.support.servers import LOUD

PG_DUMP = WHEEL / "pginstall" / "bin" / "pg_dump"
BY_CHANCE = ("\\restrict", "\\unrestrict", "--")  # a password of each dump's own, and comments


# Rows that were found to keep a constraint go on keeping it after a downgrade.
VALIDATE = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT conrelid::regclass AS of, conname AS name FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND NOT convalidated
    LOOP
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', one.of, one.name);
    END LOOP;
END $$
"""


def schema(settings: Settings, name: DatabaseName, query: Query) -> set[str]:
    """Give each statement that pg_dump writes: tables, indexes, functions, policies, rights."""
    query(VALIDATE)
    url = settings.url(name, owner=True).dsn
    options = ["--schema-only", "--schema=public", url]
    text = subprocess.run([PG_DUMP, *options], capture_output=True, text=True, check=True).stdout
    lines = [line for line in text.splitlines() if not line.startswith(BY_CHANCE)]
    # White space is left out: a text put back may have another empty line.
    statements = "\n".join(lines).split(";\n\n")
    return {" ".join(statement.split()) for statement in statements if statement.strip()}


@pytest.mark.parametrize("newest", [8, pytest.param(None, marks=pytest.mark.slow)])
def test_every_step_down_puts_the_schema_back(
    config: Config, empty: Settings, name: DatabaseName, query: Query, newest: int | None
) -> None:
    if not shutil.which(PG_DUMP):
        pytest.skip(f"{LOUD}: no pg_dump beside the servers")
    revisions = list(ScriptDirectory.from_config(config).walk_revisions())[:newest]
    command.upgrade(config, revisions[-1].revision)
    stages: list[set[str]] = []
    for revision in reversed(revisions[:-1]):
        stages.append(schema(empty, name, query))
        command.upgrade(config, revision.revision)
    for revision, stage in zip(revisions[:-1], reversed(stages), strict=True):
        command.downgrade(config, "-1")
        assert schema(empty, name, query) == stage, f"after the downgrade of {revision.revision}"
