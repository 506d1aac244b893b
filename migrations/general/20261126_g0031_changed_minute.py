"""The minute of a session's last change is true for the rows of before, too.

They had that of their upgrade, and a page of the sessions changed last sorts those of one minute.
Whatever fails here, the same upgrade may be run again, and passes by what is true already.
"""

from __future__ import annotations

from alembic import op

revision = "g0031"
down_revision = "g0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for statement in (SEE_ALL, FILL, SEE_NO_MORE):
            op.execute(statement)


def downgrade() -> None:
    """Nothing reads the minute there, and it may stay true."""


# FORCE holds the owner, too, who must see all rows here. A policy of its own lets nobody else in.
SEE_NO_MORE = "DROP POLICY IF EXISTS filling ON chat_sessions"
SEE_ALL = f"""
DO $$ BEGIN
    {SEE_NO_MORE};
    CREATE POLICY filling ON chat_sessions TO CURRENT_USER USING (true) WITH CHECK (true);
END $$
"""

# Each batch is a transaction, and takes no row that somebody else holds: they change the session,
# and with it the minute. So nobody waits for this for long, and no deadlock comes of it.
FILL = """
DO $$
DECLARE
    last_tenant uuid := '00000000-0000-0000-0000-000000000000';
    last_id uuid := last_tenant;
    tenants uuid[];
    ids uuid[];
BEGIN
    LOOP
        SELECT array_agg(s.tenant_id ORDER BY s.tenant_id, s.id),
               array_agg(s.id ORDER BY s.tenant_id, s.id) INTO tenants, ids
        FROM (
            SELECT tenant_id, id FROM chat_sessions
            WHERE (tenant_id, id) > (last_tenant, last_id)
            ORDER BY tenant_id, id LIMIT 1000
        ) AS s;
        EXIT WHEN ids IS NULL;
        WITH free AS MATERIALIZED (
            SELECT s.tenant_id, s.id FROM chat_sessions s
            JOIN unnest(tenants, ids) AS batch (tenant_id, id) USING (tenant_id, id)
            WHERE s.changed_minute <> date_trunc('minute', s.updated_at)
            FOR UPDATE OF s SKIP LOCKED
        )
        UPDATE chat_sessions s SET changed_minute = date_trunc('minute', s.updated_at)
        FROM free WHERE s.tenant_id = free.tenant_id AND s.id = free.id;
        COMMIT;
        last_tenant := tenants[cardinality(tenants)];
        last_id := ids[cardinality(ids)];
    END LOOP;
END $$
"""
