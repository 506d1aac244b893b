"""Usernames are unique by their key, addresses by theirs within a tenant, and login finds by it.

Whatever fails here, the same upgrade may be run again: the rows that have their keys keep them.
"""

from __future__ import annotations

from alembic import op

revision = "u0031"
down_revision = "u0030"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_users_username": ("username_key", "username"),
    "idx_users_email": ("tenant_id, email_key", "lower(email)"),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for statement in (SEE_ALL, FILL, REFUSE_CONFLICTS, SEE_NO_MORE):
            op.execute(statement)
        for index, (columns, _) in INDEXES.items():
            # What an upgrade that failed has left, not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}_key")
            op.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {index}_key ON users ({columns})")
    for index in INDEXES:
        _drop(index)
        op.execute(f"-- squawk-ignore renaming-object\nALTER INDEX {index}_key RENAME TO {index}")
    op.execute(LOGIN_ATTEMPT.format(whose="u.username_key = username_key(name)"))


def downgrade() -> None:
    """Fails, and changes nothing, where two tenants know the same address by now."""
    op.execute(LOGIN_ATTEMPT.format(whose="u.username = name"))
    for index, (_, columns) in INDEXES.items():
        _drop(index)
        op.execute(f"CREATE UNIQUE INDEX {index} ON users ({columns})")


def _drop(index: str) -> None:
    """The table is locked for a moment only."""
    op.execute(f"-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX {index}")


# FORCE holds the owner, too, who must see all rows here. A policy of its own lets nobody else in.
SEE_NO_MORE = "DROP POLICY IF EXISTS filling ON users"
SEE_ALL = f"""
DO $$ BEGIN
    {SEE_NO_MORE};
    CREATE POLICY filling ON users TO CURRENT_USER USING (true) WITH CHECK (true);
END $$
"""

# The trigger writes the keys. Each batch is a transaction, and takes no row that somebody else
# holds: it is the next round's. So nobody waits for this for long, and no deadlock comes of it.
FILL = """
DO $$
DECLARE
    last uuid;
    batch uuid[];
BEGIN
    WHILE EXISTS (SELECT FROM users WHERE username_key IS NULL) LOOP
        last := '00000000-0000-0000-0000-000000000000';
        LOOP
            batch := ARRAY(SELECT id FROM users WHERE id > last ORDER BY id LIMIT 1000);
            EXIT WHEN batch = '{}';
            WITH free AS MATERIALIZED (
                SELECT id FROM users WHERE id = ANY (batch) AND username_key IS NULL
                FOR UPDATE SKIP LOCKED
            )
            UPDATE users u SET username_key = NULL FROM free WHERE u.id = free.id;
            COMMIT;
            last := batch[cardinality(batch)];
        END LOOP;
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$
"""

# Ids only: names and addresses are nobody's business who reads an upgrade's log.
REFUSE_CONFLICTS = f"""
DO $$
DECLARE
    conflicts text;
BEGIN
    SELECT string_agg(ids, '; ') INTO conflicts FROM (
        SELECT string_agg(id::text, ' = ' ORDER BY id) AS ids FROM users
        GROUP BY username_key HAVING count(*) > 1
        UNION
        SELECT string_agg(id::text, ' = ' ORDER BY id) FROM users WHERE email IS NOT NULL
        GROUP BY tenant_id, email_key HAVING count(*) > 1
        ORDER BY 1 LIMIT 20
    ) AS groups;
    IF conflicts IS NOT NULL THEN
        {SEE_NO_MORE};
        COMMIT;
        RAISE EXCEPTION USING ERRCODE = 'BC003', MESSAGE = 'these users have the same name but for'
            ' case, or the same address but for its form, so change or delete all but one of each,'
            ' and run the upgrade again: ' || conflicts;
    END IF;
END $$
"""

LOGIN_ATTEMPT = """
CREATE OR REPLACE FUNCTION login_attempt(
    name varchar, account bytea, address bytea, pair bytea, free integer, longest interval
) RETURNS TABLE (
    user_id uuid, tenant_id uuid, password_hash varchar, may_log_in boolean,
    retry_after_seconds double precision
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    keys bytea[] := ARRAY[account, address, pair];
BEGIN
    FOR look IN 1..2 LOOP
        SELECT extract(epoch FROM max(t.retry_at) - clock_timestamp()) INTO retry_after_seconds
        FROM login_throttles t
        WHERE t.key IN (address, pair) OR t.key = account AND NOT EXISTS (
            SELECT FROM login_throttles known
            WHERE known.key = pair AND known.succeeded_at > now() - interval '30 days');
        IF retry_after_seconds > 0 THEN
            RETURN NEXT;
            RETURN;
        END IF;
        EXIT WHEN look = 2;
        INSERT INTO login_throttles (key) SELECT k FROM unnest(keys) AS k ORDER BY k
        ON CONFLICT DO NOTHING;
        PERFORM FROM login_throttles t WHERE t.key = ANY (keys) ORDER BY t.key FOR UPDATE;
    END LOOP;
    UPDATE login_throttles t SET
        failures = CASE WHEN t.updated_at < now() - interval '1 hour' THEN 1
                        ELSE t.failures + 1 END,
        retry_at = clock_timestamp() + CASE
            WHEN t.updated_at < now() - interval '1 hour' THEN interval '0'
            WHEN t.failures < limits.free THEN interval '0'
            ELSE least(longest, interval '1 second'
                       * power(2, least(20, t.failures - limits.free))) END,
        updated_at = now()
    FROM (VALUES (account, free), (address, free * 10), (pair, free)) AS limits (key, free)
    WHERE t.key = limits.key;
    RETURN QUERY
    SELECT u.id, u.tenant_id, u.password_hash, u.is_active AND NOT u.is_blocked,
        0::double precision
    FROM (SELECT) AS attempt LEFT JOIN users u ON {whose};
END $$
"""
