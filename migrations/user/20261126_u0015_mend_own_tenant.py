"""Mending the ledger acts in the session's tenant, with the service's login and not the relay's."""

from __future__ import annotations

from alembic import op

revision = "u0015"
down_revision = "u0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(MEND % OWN_TENANT)


def downgrade() -> None:
    op.execute(MEND % "")


OWN_TENANT = """
    IF tenant IS DISTINCT FROM nullif(current_setting('app.tenant_id', true), '')::uuid THEN
        RAISE EXCEPTION 'only entries of the own tenant are mended' USING ERRCODE = '42501';
    END IF;"""

MEND = """
CREATE OR REPLACE FUNCTION mend_ledger(tenant uuid, subject uuid, verdict varchar) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN%s
    PERFORM FROM users u WHERE u.id = subject AND u.tenant_id = tenant FOR UPDATE;
    IF verdict = 'present' AND FOUND THEN
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (tenant, subject, 'present', 1, 1) ON CONFLICT DO NOTHING;
    ELSIF verdict = 'deleted' OR verdict = 'gone' AND NOT FOUND THEN
        DELETE FROM users u WHERE u.id = subject AND u.tenant_id = tenant;
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (tenant, subject, 'deleted', 1, 0) ON CONFLICT DO NOTHING;
        UPDATE subject_ledger l
        SET state = 'deleted', rev = l.rev + 1, changed_at = now(), not_before = now(),
            lease_until = NULL, attempts = 0
        WHERE l.tenant_id = tenant AND l.user_id = subject AND l.state <> 'deleted';
    ELSIF verdict = 'again' THEN
        UPDATE subject_ledger l
        SET rev = l.rev + 1, receipt = NULL, completed_at = NULL, not_before = now(),
            lease_until = NULL, attempts = 0
        WHERE l.tenant_id = tenant AND l.user_id = subject AND l.state = 'deleted'
        AND l.delivered_rev >= l.rev;
    END IF;
END $$
"""
