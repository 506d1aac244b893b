"""Reconcile asks of owners' receipts alone, and every receipt is found to be of a kind.

Reading all of them for that locks nobody out.
"""

from __future__ import annotations

from alembic import op

revision = "g0045"
down_revision = "g0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (SUSPECTS, FACTS):
        op.execute(statement)
    op.execute("ALTER TABLE erasure_receipts VALIDATE CONSTRAINT ck_erasure_receipts_kind")


def downgrade() -> None:
    """The kinds that were found stay true."""
    for statement in (SUSPECTS_BEFORE, FACTS_BEFORE):
        op.execute(statement)


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

SUSPECTS = f"""
CREATE OR REPLACE FUNCTION owner_suspects()
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT s.tenant_id, s.user_id FROM chat_sessions s
    LEFT JOIN owners o ON o.tenant_id = s.tenant_id AND o.user_id = s.user_id
    WHERE o.state IS DISTINCT FROM 'open'
    UNION
    SELECT k.tenant_id, k.user_id FROM general_idempotency_keys k
    LEFT JOIN owners o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
    WHERE o.state IS DISTINCT FROM 'open'
    UNION
    SELECT r.tenant_id, r.user_id FROM erasure_receipts r
    LEFT JOIN owners o ON o.tenant_id = r.tenant_id AND o.user_id = r.user_id
    WHERE r.kind = 'erasure' AND o.state IS DISTINCT FROM 'erased'
$$
"""

FACTS = f"""
CREATE OR REPLACE FUNCTION owner_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, state varchar, is_dated boolean, receipt varchar,
               has_sessions boolean)
LANGUAGE sql STABLE {DEFINER} AS $$
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    ), owned AS MATERIALIZED (
        SELECT o.tenant_id, o.user_id, o.state, o.closed_at IS NOT NULL AS is_dated
        FROM owners o JOIN asked k ON k.tenant_id = o.tenant_id AND k.user_id = o.user_id
    ), receipted AS MATERIALIZED (
        SELECT r.tenant_id, r.user_id, r.hash FROM erasure_receipts r
        JOIN asked k ON k.tenant_id = r.tenant_id AND k.user_id = r.user_id
        WHERE r.kind = 'erasure'
    ), known AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, o.state, coalesce(o.is_dated, false) AS is_dated, r.hash
        FROM asked k
        LEFT JOIN owned o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
        LEFT JOIN receipted r ON r.tenant_id = k.tenant_id AND r.user_id = k.user_id
        WHERE o.state IS DISTINCT FROM 'open' OR r.hash IS NOT NULL
    ), holding AS MATERIALIZED (
        SELECT s.tenant_id, s.user_id FROM chat_sessions s
        JOIN known k ON k.tenant_id = s.tenant_id AND k.user_id = s.user_id
        UNION
        SELECT i.tenant_id, i.user_id FROM general_idempotency_keys i
        JOIN known k ON k.tenant_id = i.tenant_id AND k.user_id = i.user_id
    )
    SELECT k.tenant_id, k.user_id, k.state, k.is_dated, k.hash, h.user_id IS NOT NULL
    FROM known k LEFT JOIN holding h ON h.tenant_id = k.tenant_id AND h.user_id = k.user_id
$$
"""

SUSPECTS_BEFORE = f"""
CREATE OR REPLACE FUNCTION owner_suspects()
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT s.tenant_id, s.user_id FROM chat_sessions s
    LEFT JOIN owners o ON o.tenant_id = s.tenant_id AND o.user_id = s.user_id
    WHERE o.state IS DISTINCT FROM 'open'
    UNION
    SELECT k.tenant_id, k.user_id FROM general_idempotency_keys k
    LEFT JOIN owners o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
    WHERE o.state IS DISTINCT FROM 'open'
    UNION
    SELECT r.tenant_id, r.user_id FROM erasure_receipts r
    LEFT JOIN owners o ON o.tenant_id = r.tenant_id AND o.user_id = r.user_id
    WHERE o.state IS DISTINCT FROM 'erased'
$$
"""

FACTS_BEFORE = f"""
CREATE OR REPLACE FUNCTION owner_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, state varchar, is_dated boolean, receipt varchar,
               has_sessions boolean)
LANGUAGE sql STABLE {DEFINER} AS $$
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    ), owned AS MATERIALIZED (
        SELECT o.tenant_id, o.user_id, o.state, o.closed_at IS NOT NULL AS is_dated
        FROM owners o JOIN asked k ON k.tenant_id = o.tenant_id AND k.user_id = o.user_id
    ), receipted AS MATERIALIZED (
        SELECT r.tenant_id, r.user_id, r.hash FROM erasure_receipts r
        JOIN asked k ON k.tenant_id = r.tenant_id AND k.user_id = r.user_id
    ), known AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, o.state, coalesce(o.is_dated, false) AS is_dated, r.hash
        FROM asked k
        LEFT JOIN owned o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
        LEFT JOIN receipted r ON r.tenant_id = k.tenant_id AND r.user_id = k.user_id
        WHERE o.state IS DISTINCT FROM 'open' OR r.hash IS NOT NULL
    ), holding AS MATERIALIZED (
        SELECT s.tenant_id, s.user_id FROM chat_sessions s
        JOIN known k ON k.tenant_id = s.tenant_id AND k.user_id = s.user_id
        UNION
        SELECT i.tenant_id, i.user_id FROM general_idempotency_keys i
        JOIN known k ON k.tenant_id = i.tenant_id AND k.user_id = i.user_id
    )
    SELECT k.tenant_id, k.user_id, k.state, k.is_dated, k.hash, h.user_id IS NOT NULL
    FROM known k LEFT JOIN holding h ON h.tenant_id = k.tenant_id AND h.user_id = k.user_id
$$
"""
