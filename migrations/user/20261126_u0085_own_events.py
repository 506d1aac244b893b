"""Ending all tokens and exporting all events stop at a session's own tenant, where it has one.

A session in no tenant, as operators' commands have, goes on to reach everybody's: so does each
session of the version before.
"""

from __future__ import annotations

from alembic import op

revision = "u0085"
down_revision = "u0084"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(function)


def downgrade() -> None:
    for function in BEFORE:
        op.execute(function)


FUNCTIONS = (
    """
CREATE OR REPLACE FUNCTION exported_audit_events(tenant uuid, after uuid, page integer)
RETURNS SETOF audit_events
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    own uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
    beyond uuid := coalesce(after, '00000000-0000-0000-0000-000000000000');
BEGIN
    IF own <> tenant OR own IS NOT NULL AND tenant IS NULL THEN
        RETURN;
    END IF;
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
""",
    """
CREATE OR REPLACE FUNCTION end_tokens(rows integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH picked AS MATERIALIZED (
        SELECT t.digest FROM access_tokens t
        WHERE t.tenant_id = coalesce(
            nullif(current_setting('app.tenant_id', true), '')::uuid, t.tenant_id)
        ORDER BY t.user_id LIMIT rows FOR UPDATE
    ), gone AS (
        DELETE FROM access_tokens t USING picked p WHERE t.digest = p.digest
        RETURNING t.tenant_id, t.user_id
    ), noted AS (
        INSERT INTO audit_events (tenant_id, actor_type, action, target_type, target_id)
        SELECT DISTINCT g.tenant_id, 'operator', 'token.ended', 'user', g.user_id FROM gone g
    )
    SELECT count(*) FROM gone
$$
""",
)

BEFORE = (
    """
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
""",
    """
CREATE OR REPLACE FUNCTION end_tokens(rows integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH picked AS MATERIALIZED (
        SELECT t.digest FROM access_tokens t ORDER BY t.user_id LIMIT rows FOR UPDATE
    ), gone AS (
        DELETE FROM access_tokens t USING picked p WHERE t.digest = p.digest
        RETURNING t.tenant_id, t.user_id
    ), noted AS (
        INSERT INTO audit_events (tenant_id, actor_type, action, target_type, target_id)
        SELECT DISTINCT g.tenant_id, 'operator', 'token.ended', 'user', g.user_id FROM gone g
    )
    SELECT count(*) FROM gone
$$
""",
)
