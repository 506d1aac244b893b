"""The user database tells what receipts say of people's keys, of many people at once."""

from __future__ import annotations

from alembic import op

revision = "u0080"
down_revision = "u0072"
branch_labels = None
depends_on = None

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"


def upgrade() -> None:
    op.execute("-- squawk-ignore ban-drop-function\nDROP FUNCTION settle_erasure(uuid, uuid)")
    op.execute(SETTLE_ERASURES)


def downgrade() -> None:
    op.execute("DROP FUNCTION settle_erasures(uuid, uuid[])")
    op.execute(SETTLE_ERASURE)


SETTLE_ERASURES = """
CREATE OR REPLACE FUNCTION settle_erasures(tenant uuid, subjects uuid[]) RETURNS jsonb
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET unrecoverable_after = greatest(
        l.key_destroyed_at + make_interval(days => s.user_backup_kept_days),
        now() + make_interval(days => s.general_backup_kept_days))
    FROM sealing s
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects)
    AND l.key_destroyed_at IS NOT NULL AND l.unrecoverable_after IS NULL;
    SELECT coalesce(jsonb_object_agg(l.user_id, jsonb_build_object(
        'sealed', l.sealed, 'key_destroyed_at', l.key_destroyed_at,
        'unrecoverable_after', l.unrecoverable_after)), '{}')
    FROM subject_ledger l
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects) AND l.key_destroyed_at IS NOT NULL;
$$
"""

SETTLE_ERASURE = f"""
CREATE OR REPLACE FUNCTION settle_erasure(tenant uuid, subject uuid)
RETURNS TABLE (sealed boolean, key_destroyed_at timestamptz, unrecoverable_after timestamptz)
LANGUAGE sql {DEFINER} AS $$
    UPDATE subject_ledger l SET unrecoverable_after = greatest(
        l.key_destroyed_at + make_interval(days => s.user_backup_kept_days),
        now() + make_interval(days => s.general_backup_kept_days))
    FROM sealing s
    WHERE l.tenant_id = tenant AND l.user_id = subject
    AND l.key_destroyed_at IS NOT NULL AND l.unrecoverable_after IS NULL;
    SELECT l.sealed, l.key_destroyed_at, l.unrecoverable_after FROM subject_ledger l
    WHERE l.tenant_id = tenant AND l.user_id = subject;
$$
"""
