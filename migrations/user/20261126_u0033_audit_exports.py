"""Audit events for exports, and pages of them that no index misleads.

The index on the id alone had the order of every list: for a filter whose events are old, the
planner walked it through all that are newer. The one in its place serves who says NULLS LAST, which
is the list without a filter. Whatever fails here, the same upgrade may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "u0033"
down_revision = "u0032"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_audit_events_all": "audit_events (id DESC NULLS LAST)",
    "idx_audit_events_on_behalf_of": (
        "audit_events (on_behalf_of, id) WHERE on_behalf_of IS NOT NULL"
    ),
}
FUNCTIONS = {
    "person_audit_events": "uuid, uuid, integer",
    "exported_audit_events": "uuid, uuid, integer",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for index, columns in INDEXES.items():
            # What an upgrade that failed has left, not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            op.execute(f"CREATE INDEX CONCURRENTLY {index} ON {columns}")
    for statement in (PLATFORM, EXPIRE, OF_PERSON, EXPORTED):
        op.execute(statement)
    op.execute("-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX idx_audit_events_id")


def downgrade() -> None:
    op.create_index("idx_audit_events_id", "audit_events", ["id"])
    for name, arguments in FUNCTIONS.items():
        op.execute(f"DROP FUNCTION {name}({arguments})")
    for statement in (PLATFORM_BEFORE, EXPIRE_BEFORE):
        op.execute(statement)
    for index in INDEXES:
        op.execute(f"DROP INDEX {index}")


PLATFORM = """
CREATE OR REPLACE FUNCTION platform_audit_events(
    before uuid, actor uuid, target uuid, done varchar, page integer
) RETURNS TABLE (
    id uuid, tenant_id uuid, at timestamptz, actor_type varchar, actor_id uuid, on_behalf_of uuid,
    action varchar, target_type varchar, target_id uuid, request_id varchar
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    beyond uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
    IF actor IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.actor_id = actor AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF target IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.target_id = target AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF done IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.action = done AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSE
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.id < beyond
            ORDER BY e.id DESC NULLS LAST LIMIT page;
    END IF;
END $$
"""

EXPIRE = """
CREATE OR REPLACE FUNCTION expire_audit_events(kept interval, rows integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH expired AS MATERIALIZED (
        SELECT e.tenant_id, e.id FROM audit_events e
        WHERE e.id < (lpad(to_hex(floor(extract(epoch FROM now() - kept) * 1000)::bigint), 12, '0')
                      || repeat('0', 20))::uuid
        ORDER BY e.id NULLS FIRST LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM audit_events e USING expired x
        WHERE e.tenant_id = x.tenant_id AND e.id = x.id
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$
"""

OF_PERSON = """
CREATE OR REPLACE FUNCTION person_audit_events(person uuid, after uuid, page integer)
RETURNS SETOF audit_events
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    beyond uuid := coalesce(after, '00000000-0000-0000-0000-000000000000');
BEGIN
    RETURN QUERY
        (SELECT e.* FROM audit_events e
         WHERE e.actor_id = person AND e.id > beyond ORDER BY e.id LIMIT page)
        UNION
        (SELECT e.* FROM audit_events e
         WHERE e.target_id = person AND e.id > beyond ORDER BY e.id LIMIT page)
        UNION
        (SELECT e.* FROM audit_events e
         WHERE e.on_behalf_of = person AND e.id > beyond ORDER BY e.id LIMIT page)
        ORDER BY id LIMIT page;
END $$
"""

EXPORTED = """
CREATE OR REPLACE FUNCTION exported_audit_events(tenant uuid, after uuid, page integer)
RETURNS SETOF audit_events
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    beyond uuid := coalesce(after, '00000000-0000-0000-0000-000000000000');
BEGIN
    IF tenant IS NULL THEN
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.id > beyond
            ORDER BY e.id NULLS FIRST LIMIT page;
    ELSE
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.tenant_id = tenant AND e.id > beyond
            ORDER BY e.id LIMIT page;
    END IF;
END $$
"""

PLATFORM_BEFORE = """
CREATE OR REPLACE FUNCTION platform_audit_events(
    before uuid, actor uuid, target uuid, done varchar, page integer
) RETURNS TABLE (
    id uuid, tenant_id uuid, at timestamptz, actor_type varchar, actor_id uuid, on_behalf_of uuid,
    action varchar, target_type varchar, target_id uuid, request_id varchar
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    beyond uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
    IF actor IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.actor_id = actor AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF target IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.target_id = target AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF done IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.action = done AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSE
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    END IF;
END $$
"""

EXPIRE_BEFORE = """
CREATE OR REPLACE FUNCTION expire_audit_events(kept interval, rows integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH expired AS MATERIALIZED (
        SELECT e.tenant_id, e.id FROM audit_events e
        WHERE e.id < (lpad(to_hex(floor(extract(epoch FROM now() - kept) * 1000)::bigint), 12, '0')
                      || repeat('0', 20))::uuid
        ORDER BY e.id LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM audit_events e USING expired x
        WHERE e.tenant_id = x.tenant_id AND e.id = x.id
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$
"""
