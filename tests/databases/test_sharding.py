"""The general database could be distributed by tenant: no statement stands in the way.

The rules are in tests/support/tenant_lint.py. They hold for every function of that database, here,
and for every statement that the service sends to it in any test, by tests/support/statements.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.factories import World, a_session
from tests.support.servers import ROOT, Servers
from tests.support.sql_tree import function
from tests.support.statements import sent, violations
from tests.support.tenant_lint import of_function, of_statement

FUNCTIONS = sorted((ROOT / "app" / "databases" / "sql" / "general").glob("*.sql"))

# What looks across tenants on purpose. The relay alone may call it, and each shard would be asked.
ACROSS = {
    "active_since": "reconcile asks about any users, of many tenants at a time",
    "nothing_was_said": "the flag of typed messages asks whether the installation is new",
    "owners_never_sealed": "an operator counts whom sealing has yet to convert",
    "sealed_owners": "reconcile compares all owners' keys with the user database's",
    "owners_page": "an operator seals all owners, one after the other",
    "expire_keys": "keys expire by the clock, whosever they are",
    "held_owners": "reconcile compares all holds with the owners who are held",
    "owner_digest": "reconcile compares all owners with the ledger",
    "owner_facts": "reconcile asks about any users, of many tenants at a time",
    "owner_keys": "reconcile lists owners in the buckets that differ",
    "owner_suspects": "reconcile looks for owners who do not fit their rows",
    "sweepable_tenants": "a sweep goes to the tenants where something has ended",
    "stray_messages": "reconcile looks for messages without a session, whosever they are",
}
OF_ONE_TENANT = """
SELECT s.id FROM chat_sessions s WHERE s.tenant_id = $1 AND s.id = $2;
SELECT FROM chat_sessions WHERE (tenant_id, id) = ($1::uuid, $2) FOR UPDATE;
SELECT FROM chat_sessions s JOIN messages m ON m.tenant_id = s.tenant_id WHERE m.tenant_id = $1;
SELECT FROM owners o LEFT JOIN messages m ON m.tenant_id = o.tenant_id WHERE o.tenant_id = $1;
SELECT FROM chat_sessions s WHERE s.tenant_id = $1
    AND EXISTS (SELECT FROM messages m WHERE m.tenant_id = s.tenant_id);
SELECT FROM chat_sessions s LEFT JOIN LATERAL (
    SELECT * FROM messages m WHERE m.tenant_id = s.tenant_id) AS m ON true WHERE s.tenant_id = $1;
WITH old AS (SELECT tenant_id, id FROM chat_sessions WHERE tenant_id = $1 FOR UPDATE)
    DELETE FROM chat_sessions s USING old WHERE s.tenant_id = old.tenant_id AND s.id = old.id;
WITH RECURSIVE told AS (SELECT tenant_id, id FROM messages WHERE tenant_id = $1 UNION ALL
    SELECT m.tenant_id, m.id FROM messages m JOIN told ON m.tenant_id = told.tenant_id)
    SELECT FROM told;
INSERT INTO owners (tenant_id, user_id) VALUES ($1, $2)
    ON CONFLICT (tenant_id, user_id) DO UPDATE SET closed_at = excluded.closed_at;
INSERT INTO messages (id, tenant_id) SELECT t.id, s.tenant_id FROM chat_sessions s
    CROSS JOIN unnest($1::uuid[]) AS t (id) WHERE s.tenant_id = $2;
WITH o AS (SELECT * FROM owners WHERE tenant_id = $1 FOR KEY SHARE)
    INSERT INTO chat_sessions (tenant_id, id) SELECT o.tenant_id, CAST($2 AS uuid) FROM o;
SELECT FROM messages WHERE tenant_id = $1 UNION SELECT FROM owners WHERE tenant_id = $1;
SELECT CASE WHEN state = 'open' THEN 1 END FROM owners WHERE tenant_id = $1;
SELECT * FROM append_message($1, $2);
SELECT relname FROM pg_class, LATERAL (SELECT 1) AS one;
SET LOCAL app.tenant_id = '00000000-0000-0000-0000-000000000000'
"""

BROKEN = {
    "tenant": """
SELECT FROM messages;
SELECT FROM messages WHERE tenant_id = $1 OR id = $2;
SELECT FROM messages WHERE tenant_id <> $1;
SELECT FROM messages WHERE tenant_id = NULL;
SELECT FROM messages WHERE tenant_id = ANY($1);
SELECT FROM messages m JOIN owners o ON m.tenant_id = o.tenant_id;
SELECT FROM owners o JOIN messages m ON m.id = $2 WHERE o.tenant_id = $1;
SELECT FROM owners o LEFT JOIN messages m ON o.tenant_id = $1 AND m.tenant_id = o.tenant_id;
SELECT (SELECT count(*) FROM messages) FROM owners WHERE tenant_id = $1;
SELECT FROM owners WHERE tenant_id = $1 AND user_id IN (SELECT user_id FROM chat_sessions);
SELECT FROM messages WHERE tenant_id = $1 UNION SELECT FROM messages;
WITH everything AS (SELECT * FROM messages) SELECT 1;
SELECT FROM unnest($1::uuid[]) AS k (tenant_id) JOIN messages m ON m.tenant_id = k.tenant_id;
UPDATE chat_sessions SET title = $1 WHERE id = $2;
DELETE FROM messages WHERE id = $1;
INSERT INTO owners (user_id) VALUES ($1);
INSERT INTO owners VALUES ($1, $2);
INSERT INTO messages (tenant_id) SELECT s.id FROM chat_sessions s WHERE s.tenant_id = $1;
COPY messages TO STDOUT;
COPY (SELECT * FROM messages) TO STDOUT
""",
    "conflict": """
INSERT INTO owners (tenant_id) VALUES ($1)
    ON CONFLICT (tenant_id) DO UPDATE SET closed_at = coalesce(owners.closed_at, now());
INSERT INTO owners (tenant_id) VALUES ($1)
    ON CONFLICT (tenant_id) DO UPDATE SET closed_at = CURRENT_TIMESTAMP
""",
    "insert": """
INSERT INTO messages (tenant_id, id) SELECT $1, t.id FROM unnest($2::uuid[]) AS t (id);
WITH k AS (SELECT $1::uuid AS tenant_id) INSERT INTO owners (tenant_id) SELECT tenant_id FROM k;
INSERT INTO owners (tenant_id) SELECT $1
""",
    "lock": """
SELECT FROM chat_sessions WHERE id = $1 FOR UPDATE;
WITH old AS (SELECT FROM chat_sessions FOR KEY SHARE SKIP LOCKED) SELECT 1
""",
    "set_config": """
SELECT set_config('app.tenant_id', $1, true);
SELECT count(set_config('app.tenant_id', $1, true))
""",
    "case": """
SELECT CASE o.state WHEN 'open' THEN 1 END FROM owners o WHERE o.tenant_id = $1;
INSERT INTO owners AS o (tenant_id) VALUES ($1)
    ON CONFLICT (tenant_id) DO UPDATE SET state = CASE o.state WHEN 'open' THEN 'closed' END
""",
    "function": """
SELECT FROM owner_is_open() AS f, owners o WHERE o.tenant_id = $1;
INSERT INTO erasure_receipts (remaining) SELECT (
    SELECT count(*) FROM messages m WHERE m.tenant_id = $1) FROM link_receipt($2)
""",
    "empty": """
SELECT NOT EXISTS (SELECT FROM owners)
""",
    "lateral": """
SELECT FROM owners o CROSS JOIN LATERAL (
    SELECT FROM messages m WHERE m.tenant_id = o.tenant_id) AS m
""",
    "recursive": """
WITH RECURSIVE told AS (SELECT tenant_id FROM messages UNION ALL
    SELECT m.tenant_id FROM messages m, told WHERE m.tenant_id > told.tenant_id) SELECT FROM told
""",
    "form": """
MERGE INTO owners o USING messages m ON o.tenant_id = $1 WHEN MATCHED THEN DO NOTHING
""",
}

BODIES = """
LANGUAGE sql AS $$ {} $$;
LANGUAGE plpgsql AS $$ BEGIN PERFORM * FROM ({}) AS x; END $$;
LANGUAGE plpgsql AS $$ DECLARE n bigint := (SELECT count(*) FROM ({}) AS x); BEGIN END $$;
LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN n := (SELECT count(*) FROM ({}) AS x); END $$;
LANGUAGE plpgsql AS $$ BEGIN IF EXISTS ({}) THEN RETURN; END IF; END $$;
LANGUAGE plpgsql AS $$ BEGIN LOOP
    DELETE FROM owners WHERE tenant_id = tenant AND EXISTS ({}); END LOOP; END $$
"""
HEAD = "CREATE FUNCTION f(tenant uuid) RETURNS void "
READ = "SELECT FROM messages m WHERE m.tenant_id = {}"


@pytest.mark.parametrize("path", FUNCTIONS, ids=lambda path: path.stem)
def test_a_function_names_its_tenant_on_each_table(path: Path) -> None:
    """One that looks across tenants may leave the tenant out, and nothing else."""
    broken = {one.rule for one in of_function(function(path.read_text()))}
    assert broken == ({"tenant"} if path.stem in ACROSS else set())


def test_every_exception_is_a_function() -> None:
    assert ACROSS.keys() <= {path.stem for path in FUNCTIONS}


@pytest.mark.parametrize("sql", OF_ONE_TENANT.strip().split(";\n"))
def test_a_statement_of_one_tenant_is_let_pass(sql: str) -> None:
    assert of_statement(sql) == []


@pytest.mark.parametrize(
    ("rule", "sql"),
    [(rule, sql) for rule, some in BROKEN.items() for sql in some.strip().split(";\n")],
)
def test_a_statement_that_breaks_a_rule_is_found(rule: str, sql: str) -> None:
    assert rule in {one.rule for one in of_statement(sql)}


@pytest.mark.parametrize("body", BODIES.strip().split("$$;\n"))
def test_a_functions_parameters_are_values(body: str) -> None:
    """Any other name is not, wherever in the body the statement stands."""
    for name, broken in (("tenant", set[str]()), ("somebody", {"tenant"})):
        text = HEAD + body.removesuffix("$$").format(READ.format(name)) + "$$"
        assert {one.rule for one in of_function(function(text))} == broken


def test_what_a_function_puts_together_may_only_name_the_tenant() -> None:
    other = "LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT FROM messages'; END $$"
    assert [one.rule for one in of_function(function(HEAD + other))] == ["dynamic"]


async def test_a_statement_that_the_service_sends_is_seen(
    world: World, servers: Servers, database: str
) -> None:
    """The server tells of it, whatever the service did with it afterwards."""
    alice = await world.member()
    await a_session(alice)
    async with world.databases.general.session(alice.tenant_id) as session:
        await session.execute(text("SELECT count(*) FROM messages WHERE role = 'user'"))
    broken = {query: violations(query) for query in await sent(servers.general, database)}
    assert any("FROM begin_session(" in query for query in broken)
    forgetful = "SELECT count(*) FROM messages WHERE role = $1"
    assert {query for query, what in broken.items() if what} == {forgetful}
    assert await sent(servers.general, database) == []
