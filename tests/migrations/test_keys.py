"""Users from before there were keys get theirs while the old version runs, or stop the upgrade."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from alembic import command
from alembic.util import CommandError

from app.config.settings import Settings
from tests.support.logins import superuser
from tests.support.migrations import configured
from tests.support.servers import Servers

UNIQUE_KEYS = import_module("migrations.user.20261126_u0031_unique_keys")
BEFORE = "u0014"
ACME, GLOBEX = uuid4(), uuid4()
Sql = asyncpg.Connection
USER = (
    "INSERT INTO users (id, tenant_id, username, email, password_hash) VALUES ($1, $2, $3, $4, 'x')"
)
KEYS = "SELECT username_key, email_key FROM users ORDER BY username"


@pytest.fixture
async def sql(empty: Settings, servers: Servers) -> AsyncGenerator[Sql]:
    """The database as it was before, with two tenants in it."""
    await to(empty, BEFORE)
    async with superuser(servers.user.url(empty.url("user").database)) as connection:
        tenants = [(ACME, "acme"), (GLOBEX, "globex")]
        await connection.executemany("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenants)
        yield connection


async def to(settings: Settings, revision: str) -> None:
    await asyncio.to_thread(command.upgrade, configured(settings, "user"), revision)


async def insert(sql: Sql, name: str, email: str, tenant: UUID = ACME) -> UUID:
    user = uuid4()
    await sql.execute(USER, user, tenant, name, email)
    return user


async def test_users_of_before_get_their_keys_and_keep_what_they_typed(
    sql: Sql, empty: Settings
) -> None:
    await insert(sql, "\\acme\\Alice", "Alice@Bücher.example")
    await insert(sql, "\\acme\\Bob", "b\u200bob@example.org.")
    before = await sql.fetch("SELECT username, email, updated_at FROM users ORDER BY username")
    await to(empty, "u0030")
    await insert(sql, "\\acme\\Carol", "CAROL@example.org")  # by the version before
    await to(empty, "head")
    assert [tuple(row) for row in await sql.fetch(KEYS)] == [
        ("\\acme\\alice", "alice@xn--bcher-kva.example"),
        ("\\acme\\bob", "bob@example.org"),
        ("\\acme\\carol", "carol@example.org"),
    ]
    after = await sql.fetch("SELECT username, email, updated_at FROM users ORDER BY username")
    assert after[:2] == before


async def test_every_batch_is_filled_and_a_row_that_is_held_comes_last(
    sql: Sql, empty: Settings, servers: Servers
) -> None:
    """Nobody is waited for with other rows locked, so the upgrade ends in no deadlock."""
    many = [(uuid4(), ACME, f"\\acme\\U{n}", f"U{n}@example.org") for n in range(2500)]
    await sql.executemany(USER, many)
    await to(empty, "u0030")
    held, unfilled = many[7][0], "SELECT id FROM users WHERE username_key IS NULL"
    async with superuser(servers.user.url(empty.url("user").database)) as filler:
        async with sql.transaction():
            await sql.execute("UPDATE users SET is_active = true WHERE id = $1", held)
            filling = asyncio.create_task(filler.execute(UNIQUE_KEYS.FILL))
            async with asyncio.timeout(60):
                while await sql.fetch(unfilled) != [(held,)]:
                    assert not filling.done()
        await filling
    assert await sql.fetch(unfilled) == []
    await to(empty, "head")
    keys = "SELECT count(*) FROM users WHERE username_key = lower(username)"
    assert await sql.fetchval(keys) == 2500


async def test_users_who_would_be_one_stop_the_upgrade_and_are_named_by_id(
    sql: Sql, empty: Settings
) -> None:
    names = sorted([await insert(sql, "\\acme\\Eve", "1"), await insert(sql, "\\acme\\eve", "2")])
    mails = sorted(
        [await insert(sql, "\\acme\\a", "é@x.org"), await insert(sql, "\\acme\\b", "e\u0301@x.org")]
    )
    await insert(sql, "\\globex\\a", "e\u0301\u00ad@x.org", GLOBEX)  # another tenant's is another
    pairs = sorted(f"{first} = {second}" for first, second in (names, mails))
    with pytest.raises(CommandError) as refusal:
        await to(empty, "head")
    assert str(refusal.value) == (
        "user database: these users have the same name but for case, or the same address but for"
        " its form, so change or delete all but one of each, and run the upgrade again: "
        + "; ".join(pairs)
    )
    assert await sql.fetchval("SELECT version_num FROM alembic_version") == "u0030"
    assert await sql.fetchval("SELECT count(*) FROM pg_policy WHERE polname = 'filling'") == 0
    await sql.execute("DELETE FROM users WHERE id = ANY ($1)", [names[0], mails[0]])
    await to(empty, "head")
    with pytest.raises(asyncpg.UniqueViolationError, match="idx_users_email"):
        await insert(sql, "\\acme\\c", "É@x.org")


async def test_tokens_of_before_get_the_ids_by_which_they_are_listed(
    sql: Sql, empty: Settings
) -> None:
    """Row level security hides every one of them from the owner, who migrates."""
    alice = await insert(sql, "\\acme\\alice", "alice@example.org")
    token = "INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)"
    await sql.execute(f"{token} VALUES ('x', $1, $2, now() + interval '1 day')", ACME, alice)
    await to(empty, "u0021")
    assert await sql.fetchval("SELECT count(*) FROM access_tokens WHERE id IS NOT NULL") == 1
    assert await sql.fetchval("SELECT count(*) FROM pg_policy WHERE polname = 'filling'") == 0


async def test_people_without_an_address_share_no_key(sql: Sql, empty: Settings) -> None:
    await to(empty, "head")
    for name in ("\\acme\\one", "\\acme\\two"):
        new = USER.replace("$4", "NULL")
        await sql.execute(new, uuid4(), ACME, name)
    assert [row["email_key"] for row in await sql.fetch(KEYS)] == [None, None]


async def test_a_downgrade_that_would_make_two_people_one_changes_nothing(
    sql: Sql, empty: Settings
) -> None:
    await to(empty, "head")
    await insert(sql, "\\acme\\alice", "alice@example.org")
    await insert(sql, "\\globex\\alice", "alice@example.org", GLOBEX)
    kept: list[Any] = await sql.fetch(KEYS)
    with pytest.raises(CommandError, match=r"UniqueViolationError \(23505\)"):
        await asyncio.to_thread(command.downgrade, configured(empty, "user"), "u0030")
    assert await sql.fetch(KEYS) == kept
