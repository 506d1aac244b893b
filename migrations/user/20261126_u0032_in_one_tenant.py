"""Mending the ledger, and what an API key's answer is about, stay in one tenant.

Reconcile mends with the service's login, which may delete users in the session's tenant anyhow. The
answers of API keys are held to their tenant as u0012 holds those of people.
"""

from __future__ import annotations

from alembic import op

revision = "u0032"
down_revision = "u0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(MEND % OWN_TENANT)
    op.execute(ANSWER)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_answer_at_home ON api_key_answers")
    op.execute(ANSWER_BEFORE)
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

ANSWER = """
CREATE OR REPLACE FUNCTION keep_answer_at_home() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM users u JOIN tenants t ON t.id = NEW.tenant_id
    WHERE u.id = NEW.about_id AND (u.tenant_id = NEW.tenant_id OR t.name = 'platform');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such user in this tenant'
            USING ERRCODE = '23503', TABLE = TG_TABLE_NAME,
            CONSTRAINT = format('fk_%s_about_id_users', TG_TABLE_NAME);
    END IF;
    RETURN NEW;
END $$
"""

ANSWER_BEFORE = """
CREATE OR REPLACE FUNCTION keep_answer_at_home() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM users u JOIN tenants t ON t.id = NEW.tenant_id
    WHERE u.id = NEW.about_id AND (u.tenant_id = NEW.tenant_id OR t.name = 'platform');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such user in this tenant'
            USING ERRCODE = '23503', CONSTRAINT = 'fk_user_idempotency_keys_about_id_users',
            TABLE = 'user_idempotency_keys';
    END IF;
    RETURN NEW;
END $$
"""

TRIGGER = """
CREATE TRIGGER keep_answer_at_home BEFORE INSERT OR UPDATE OF about_id ON api_key_answers
    FOR EACH ROW WHEN (NEW.about_id IS NOT NULL) EXECUTE FUNCTION keep_answer_at_home()
"""
