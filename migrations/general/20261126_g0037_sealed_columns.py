"""Sealed text has columns of its own, and an owner the id of the key that it is sealed under.

The columns are NULL in every row until something is sealed, which is not before the last process of
the version before has gone. Ciphertext is not compressed again: it would not get shorter.
"""

from __future__ import annotations

from alembic import op

revision = "g0037"
down_revision = "g0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (
        *COLUMNS,
        CHECK_WRITE_UNDER,
        IS_SEALED,
        KEEP_OWNER_KEY,
        FORGET_ANSWERS,
        ERASE_KEYS,
        TRIGGER,
    ):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_owner_key ON owners")
    for statement in (FORGET_ANSWERS_BEFORE, ERASE_KEYS_BEFORE):
        op.execute(statement)
    for name in ("keep_owner_key", "is_sealed", "check_write_under"):
        op.execute(f"DROP FUNCTION {name}")
    for statement in DROPPED:
        op.execute(statement)


COLUMNS = (
    "ALTER TABLE messages ADD COLUMN sealed bytea, ADD COLUMN sealed_size integer",
    "ALTER TABLE messages ALTER COLUMN sealed SET STORAGE EXTERNAL",
    "ALTER TABLE chat_sessions ADD COLUMN sealed bytea",
    "ALTER TABLE general_idempotency_keys ADD COLUMN sealed bytea",
    "ALTER TABLE general_idempotency_keys ALTER COLUMN sealed SET STORAGE EXTERNAL",
    "ALTER TABLE owners ADD COLUMN key_id uuid",
)
DROPPED = (
    "ALTER TABLE owners DROP COLUMN key_id",
    "ALTER TABLE general_idempotency_keys DROP COLUMN sealed",
    "ALTER TABLE chat_sessions DROP COLUMN sealed",
    "ALTER TABLE messages DROP COLUMN sealed, DROP COLUMN sealed_size",
)
TRIGGER = """
CREATE TRIGGER keep_owner_key BEFORE UPDATE OF key_id ON owners
FOR EACH ROW EXECUTE FUNCTION keep_owner_key()
"""

CHECK_WRITE_UNDER = """
CREATE FUNCTION check_write_under(
    tenant uuid, owner uuid, seal_key uuid, not_after timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    recorded uuid;
    is_open boolean;
BEGIN
    SELECT o.key_id INTO recorded FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open';
    is_open := FOUND;
    IF is_open AND seal_key <> recorded THEN
        RAISE EXCEPTION 'the owner has another key' USING ERRCODE = 'BC041';
    END IF;
    IF is_open AND seal_key IS NOT NULL AND recorded IS NULL THEN
        -- Of two first writes one waits here for the other; the trigger refuses a second key.
        UPDATE owners o SET key_id = seal_key
        WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open';
        is_open := FOUND;
    END IF;
    IF clock_timestamp() > not_after THEN
        RAISE EXCEPTION 'the caller was looked up too long ago' USING ERRCODE = 'BC001';
    END IF;
    IF NOT is_open THEN
        RAISE EXCEPTION 'the owner is closed: deleted, or about to be' USING ERRCODE = 'BC002';
    END IF;
END $$
"""

IS_SEALED = """
CREATE FUNCTION is_sealed(tenant uuid, owner uuid)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM public.chat_sessions s
        WHERE s.tenant_id = tenant AND s.user_id = owner AND s.sealed IS NOT NULL
    ) OR EXISTS (
        SELECT FROM public.chat_sessions s
        JOIN public.messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
        WHERE s.tenant_id = tenant AND s.user_id = owner AND m.sealed IS NOT NULL
    ) OR EXISTS (
        SELECT FROM public.general_idempotency_keys k
        WHERE k.tenant_id = tenant AND k.user_id = owner AND k.sealed IS NOT NULL
    );
END $$
"""

KEEP_OWNER_KEY = """
CREATE FUNCTION keep_owner_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.key_id IS NULL OR NEW.key_id = OLD.key_id THEN
        RETURN NEW;
    END IF;
    IF NEW.key_id IS NOT NULL OR public.is_sealed(OLD.tenant_id, OLD.user_id) THEN
        RAISE EXCEPTION 'the owner has another key' USING ERRCODE = 'BC041';
    END IF;
    RETURN NEW;
END $$
"""

FORGET_ANSWERS = """
CREATE OR REPLACE FUNCTION forget_answers(tenant uuid, session uuid, first bigint, last bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH quoting AS MATERIALIZED (
        SELECT k.user_id, k.key FROM general_idempotency_keys k
        WHERE k.tenant_id = tenant AND k.about_id = session
        AND (k.last_position IS NULL OR (k.last_position >= first AND k.first_position <= last))
        AND (k.answer IS NOT NULL OR k.sealed IS NOT NULL)
        FOR UPDATE OF k SKIP LOCKED
    )
    UPDATE general_idempotency_keys k SET answer = NULL, fingerprint = NULL, sealed = NULL
    FROM quoting q
    WHERE k.tenant_id = tenant AND k.user_id = q.user_id AND k.key = q.key;
END $$
"""

ERASE_KEYS = """
CREATE OR REPLACE FUNCTION erase_keys(tenant uuid, subject uuid, rows integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    deleted bigint;
BEGIN
    WITH next AS MATERIALIZED (
        SELECT first.key, row_number() OVER (ORDER BY first.key) AS place,
               sum(first.size) OVER (ORDER BY first.key) AS total
        FROM (SELECT k.key, octet_length(coalesce(k.answer, k.sealed)) AS size
              FROM general_idempotency_keys k
              WHERE k.tenant_id = tenant AND k.user_id = subject
              ORDER BY k.key LIMIT rows) AS first
    )
    DELETE FROM general_idempotency_keys k USING next
    WHERE k.tenant_id = tenant AND k.user_id = subject AND k.key = next.key
    AND (next.total <= rows * 65536::bigint OR next.place = 1);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted > 0 THEN
        PERFORM check_closed(tenant, subject);
    END IF;
    RETURN deleted;
END $$
"""

FORGET_ANSWERS_BEFORE = """
CREATE OR REPLACE FUNCTION forget_answers(tenant uuid, session uuid, first bigint, last bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH quoting AS MATERIALIZED (
        SELECT k.user_id, k.key FROM general_idempotency_keys k
        WHERE k.tenant_id = tenant AND k.about_id = session
        AND (k.last_position IS NULL OR (k.last_position >= first AND k.first_position <= last))
        AND k.answer IS NOT NULL
        FOR UPDATE OF k SKIP LOCKED
    )
    UPDATE general_idempotency_keys k SET answer = NULL, fingerprint = NULL FROM quoting q
    WHERE k.tenant_id = tenant AND k.user_id = q.user_id AND k.key = q.key;
END $$
"""

ERASE_KEYS_BEFORE = """
CREATE OR REPLACE FUNCTION erase_keys(tenant uuid, subject uuid, rows integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    deleted bigint;
BEGIN
    WITH next AS MATERIALIZED (
        SELECT first.key, row_number() OVER (ORDER BY first.key) AS place,
               sum(first.size) OVER (ORDER BY first.key) AS total
        FROM (SELECT k.key, octet_length(k.answer) AS size FROM general_idempotency_keys k
              WHERE k.tenant_id = tenant AND k.user_id = subject
              ORDER BY k.key LIMIT rows) AS first
    )
    DELETE FROM general_idempotency_keys k USING next
    WHERE k.tenant_id = tenant AND k.user_id = subject AND k.key = next.key
    AND (next.total <= rows * 65536::bigint OR next.place = 1);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted > 0 THEN
        PERFORM check_closed(tenant, subject);
    END IF;
    RETURN deleted;
END $$
"""
