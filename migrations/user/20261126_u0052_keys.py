"""The service keeps people's keys, and its commands convert, by functions alone."""

from __future__ import annotations

from alembic import op

revision = "u0052"
down_revision = "u0051"
branch_labels = None
depends_on = None

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"


def upgrade() -> None:
    for function in (
        KEEP_WRAPPED_KEY,
        BEGIN_SEALING,
        END_SEALING,
        USE_MASTER_KEY,
        FORGET_MASTER_KEYS,
        MASTER_KEYS_IN_USE,
        PEOPLE_OF_MASTER_KEYS,
        SEALING_STATE,
        PEOPLE_SEALED,
        WRAPPED_KEY_OF,
        WRAPPED_KEYS_PAGE,
        REWRAP_KEY,
        NOTE_SEALED,
        DROP_WRAPPED_KEY,
    ):
        op.execute(function)


def downgrade() -> None:
    for function in (
        "keep_wrapped_key(uuid, uuid, uuid, text, bytea, boolean)",
        "begin_sealing(interval)",
        "end_sealing()",
        "use_master_key(text, bytea)",
        "forget_master_keys(text)",
        "master_keys_in_use()",
        "people_of_master_keys()",
        "sealing_state()",
        "people_sealed()",
        "wrapped_key_of(uuid, uuid)",
        "wrapped_keys_page(uuid, uuid, integer, text)",
        "rewrap_key(uuid, uuid, uuid, bytea, text, bytea)",
        "note_sealed(uuid, uuid, uuid)",
        "drop_wrapped_key(uuid, uuid, uuid)",
    ):
        op.execute(f"DROP FUNCTION {function}")


KEEP_WRAPPED_KEY = f"""
CREATE OR REPLACE FUNCTION keep_wrapped_key(
    tenant uuid, subject uuid, new_id uuid, master text, sealed_key bytea, was_plain boolean
) RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    IF current_setting('synchronous_commit') <> 'remote_apply' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    INSERT INTO wrapped_keys (tenant_id, user_id, id, master_id, wrapped, plain_until)
    SELECT tenant, subject, new_id, master, sealed_key,
        CASE WHEN was_plain OR s.sealed_after IS NULL OR s.sealed_after > now()
            THEN timestamptz 'infinity' END
    FROM sealing s
    ON CONFLICT (tenant_id, user_id) DO NOTHING;
    RETURN QUERY SELECT w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE w.tenant_id = tenant AND w.user_id = subject;
END $$
"""

BEGIN_SEALING = f"""
CREATE OR REPLACE FUNCTION begin_sealing(settling interval) RETURNS boolean
LANGUAGE sql {DEFINER} AS $$
    WITH begun AS (
        UPDATE sealing SET is_on = true, sealed_after = now() + settling
        WHERE NOT is_on RETURNING 1
    )
    SELECT EXISTS (SELECT FROM begun)
$$
"""

END_SEALING = f"""
CREATE OR REPLACE FUNCTION end_sealing() RETURNS void
LANGUAGE sql {DEFINER} AS $$
    UPDATE sealing SET is_on = false, sealed_after = NULL WHERE is_on;
    UPDATE wrapped_keys SET plain_until = 'infinity' WHERE plain_until IS DISTINCT FROM 'infinity';
$$
"""

USE_MASTER_KEY = f"""
CREATE OR REPLACE FUNCTION use_master_key(master text, made bytea) RETURNS void
LANGUAGE sql {DEFINER} AS $$
    INSERT INTO master_keys (id, proof) VALUES (master, made) ON CONFLICT DO NOTHING
$$
"""

FORGET_MASTER_KEYS = f"""
CREATE OR REPLACE FUNCTION forget_master_keys(active text) RETURNS void
LANGUAGE sql {DEFINER} AS $$
    DELETE FROM master_keys m WHERE m.id IS DISTINCT FROM active
    AND NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.master_id = m.id)
$$
"""

MASTER_KEYS_IN_USE = f"""
CREATE OR REPLACE FUNCTION master_keys_in_use() RETURNS TABLE (id text, proof bytea)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT m.id, m.proof FROM master_keys m ORDER BY m.id
$$
"""

PEOPLE_OF_MASTER_KEYS = f"""
CREATE OR REPLACE FUNCTION people_of_master_keys() RETURNS TABLE (id text, people bigint)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT m.id, (SELECT count(*) FROM wrapped_keys w WHERE w.master_id = m.id)
    FROM master_keys m ORDER BY m.id
$$
"""

SEALING_STATE = f"""
CREATE OR REPLACE FUNCTION sealing_state() RETURNS TABLE (is_on boolean, is_settled boolean)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT s.is_on, s.is_on AND s.sealed_after <= now() FROM sealing s
$$
"""

PEOPLE_SEALED = f"""
CREATE OR REPLACE FUNCTION people_sealed()
RETURNS TABLE (sealed bigint, converted bigint, plain bigint)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT count(*) FILTER (WHERE plain_until IS NULL),
        count(*) FILTER (WHERE plain_until < 'infinity'),
        count(*) FILTER (WHERE plain_until = 'infinity')
    FROM wrapped_keys
$$
"""

WRAPPED_KEY_OF = f"""
CREATE OR REPLACE FUNCTION wrapped_key_of(tenant uuid, subject uuid)
RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE w.tenant_id = tenant AND w.user_id = subject
$$
"""

WRAPPED_KEYS_PAGE = f"""
CREATE OR REPLACE FUNCTION wrapped_keys_page(
    after_tenant uuid, after_user uuid, page integer, other_than text
) RETURNS TABLE (tenant_id uuid, user_id uuid, id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT w.tenant_id, w.user_id, w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE (w.tenant_id, w.user_id) > (after_tenant, after_user)
    AND w.master_id IS DISTINCT FROM other_than
    ORDER BY w.tenant_id, w.user_id LIMIT page
$$
"""

REWRAP_KEY = f"""
CREATE OR REPLACE FUNCTION rewrap_key(
    tenant uuid, subject uuid, key_id uuid, before bytea, master text, sealed_key bytea
) RETURNS boolean LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    IF current_setting('synchronous_commit') <> 'remote_apply' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    UPDATE wrapped_keys w SET master_id = master, wrapped = sealed_key
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND w.wrapped = before;
    RETURN FOUND;
END $$
"""

NOTE_SEALED = f"""
CREATE OR REPLACE FUNCTION note_sealed(tenant uuid, subject uuid, key_id uuid) RETURNS void
LANGUAGE sql {DEFINER} AS $$
    UPDATE wrapped_keys w SET plain_until = now() FROM sealing s
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id
    AND w.plain_until = 'infinity' AND s.is_on AND s.sealed_after <= now()
$$
"""

DROP_WRAPPED_KEY = f"""
CREATE OR REPLACE FUNCTION drop_wrapped_key(tenant uuid, subject uuid, key_id uuid) RETURNS boolean
LANGUAGE sql {DEFINER} AS $$
    WITH gone AS (
        DELETE FROM wrapped_keys w USING sealing s
        WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND NOT s.is_on
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM gone)
$$
"""
