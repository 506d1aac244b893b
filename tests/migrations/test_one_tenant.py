"""The upgrade to foreign keys on tenant and user together finds the rows that were there before."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from app.commands.embedded.cluster import Server
from app.config.settings import Settings
from tests.support.logins import superuser
from tests.support.migrations import Rows as Found
from tests.support.migrations import configured
from tests.support.servers import Servers, run

BEFORE = "u0009"
MAKE = """
SET session_replication_role = {role};
INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)
    VALUES (uuid_send('{user}'), '{tenant}', '{user}', now());
INSERT INTO user_blocks (tenant_id, user_id, reason) VALUES ('{tenant}', '{user}', 'spam');
INSERT INTO user_idempotency_keys (tenant_id, user_id, key, expires_at)
    VALUES ('{tenant}', '{user}', 'k', now());
"""
SOMEBODY = """
INSERT INTO tenants (id, name) VALUES ('{tenant}', '{tenant}');
INSERT INTO users (id, tenant_id, username, email, password_hash)
    VALUES ('{user}', '{tenant}', '\\{tenant}\\u', '{user}', 'x');
"""
LEFT = """
SELECT 'token', tenant_id, user_id FROM access_tokens
UNION ALL SELECT 'block', tenant_id, user_id FROM user_blocks
UNION ALL SELECT 'key', tenant_id, user_id FROM user_idempotency_keys
"""
KINDS = ("token", "block", "key")
OPEN = "SELECT FROM pg_policies WHERE policyname = 'validation'"
FOREIGN_KEYS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND conname ~ '_user_id_users$'
AND conrelid::regclass::text IN ('access_tokens', 'user_blocks', 'user_idempotency_keys')
"""
ON_BOTH = "FOREIGN KEY (tenant_id, user_id) REFERENCES users(tenant_id, id) ON DELETE CASCADE"
ON_ONE = "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE"


class Rows:
    """The user database of before, as a superuser sees it, with two tenants and their users."""

    def __init__(self, server: Server, database: str) -> None:
        self._server, self._database = server, database
        self.mine, self.theirs = (uuid4(), uuid4()), (uuid4(), uuid4())
        for tenant, user in (self.mine, self.theirs):
            self.run(SOMEBODY.format(tenant=tenant, user=user))

    def make(self, tenant: UUID, user: UUID, role: str = "origin") -> None:
        """Make a token, a block and a key. In the role `replica` no foreign key is looked at."""
        self.run(MAKE.format(tenant=tenant, user=user, role=role))

    def run(self, statements: str) -> None:
        asyncio.run(run(self._server, statements, self._database))

    def fetch(self, query: str) -> Found:
        return asyncio.run(self._fetch(query))

    async def _fetch(self, query: str) -> Found:
        async with superuser(self._server.url(self._database)) as connection:
            return {tuple(row) for row in await connection.fetch(query)}


@pytest.fixture
def config(empty: Settings) -> Config:
    return configured(empty, "user")


@pytest.fixture
def rows(servers: Servers, empty: Settings, config: Config) -> Rows:
    command.upgrade(config, BEFORE)
    return Rows(servers.user, empty.url("user").database)


def test_what_belongs_to_two_tenants_ends_and_a_block_follows_its_user(
    config: Config, rows: Rows
) -> None:
    rows.make(*rows.mine)
    rows.make(rows.mine[0], rows.theirs[1])
    command.upgrade(config, "head")
    mine = {(kind, *rows.mine) for kind in KINDS}
    assert rows.fetch(LEFT) == mine | {("block", *rows.theirs)}
    assert rows.fetch(OPEN) == set()
    assert {text for _, text in rows.fetch(FOREIGN_KEYS)} == {ON_BOTH}


def test_rows_that_break_the_key_stop_the_upgrade(config: Config, rows: Rows) -> None:
    """FORCE hides all rows from their owner, so that any key would be found to hold of none."""
    rows.make(rows.mine[0], uuid4(), role="replica")
    with pytest.raises(CommandError, match=r"ForeignKeyViolationError \(23503\) in .*u0013"):
        command.upgrade(config, "head")
    for table in ("access_tokens", "user_blocks", "user_idempotency_keys"):
        rows.run(f"DELETE FROM {table}")
    command.upgrade(config, "head")
    assert {text for _, text in rows.fetch(FOREIGN_KEYS)} == {ON_BOTH}


def test_a_downgrade_brings_the_keys_of_before_back(config: Config, rows: Rows) -> None:
    before = rows.fetch(FOREIGN_KEYS)
    command.upgrade(config, "head")
    after = rows.fetch(FOREIGN_KEYS)
    assert {name for name, _ in after} == {name for name, _ in before}
    command.downgrade(config, BEFORE)
    assert rows.fetch(FOREIGN_KEYS) == before
    assert {text for _, text in before} == {ON_ONE}
    rows.make(*rows.mine)
