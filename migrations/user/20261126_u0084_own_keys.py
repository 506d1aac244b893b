"""The functions on wrapped keys are about a session's own tenant, where it has one.

A session in no tenant, as operators' commands have, goes on to reach everybody's: so does each
session of the version before.
"""

from __future__ import annotations

from alembic import op

revision = "u0084"
down_revision = "u0083"
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
CREATE OR REPLACE FUNCTION keep_wrapped_key(
    tenant uuid, subject uuid, new_id uuid, master text, sealed_key bytea, was_plain boolean
) RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF tenant <> nullif(current_setting('app.tenant_id', true), '')::uuid THEN
        RAISE EXCEPTION 'a session of a tenant has the keys of its own' USING ERRCODE = '42501';
    END IF;
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
""",
    """
CREATE OR REPLACE FUNCTION rewrap_key(
    tenant uuid, subject uuid, key_id uuid, before bytea, master text, sealed_key bytea
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF tenant <> nullif(current_setting('app.tenant_id', true), '')::uuid THEN
        RAISE EXCEPTION 'a session of a tenant has the keys of its own' USING ERRCODE = '42501';
    END IF;
    IF current_setting('synchronous_commit') <> 'remote_apply' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    UPDATE wrapped_keys w SET master_id = master, wrapped = sealed_key
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND w.wrapped = before;
    RETURN FOUND;
END $$
""",
    """
CREATE OR REPLACE FUNCTION drop_wrapped_key(tenant uuid, subject uuid, key_id uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM wrapped_keys w USING sealing s
        WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND NOT s.is_on
        AND tenant = coalesce(nullif(current_setting('app.tenant_id', true), '')::uuid, tenant)
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM gone)
$$
""",
    """
CREATE OR REPLACE FUNCTION note_sealed(tenant uuid, subject uuid, key_id uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE wrapped_keys w SET plain_until = now() FROM sealing s
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id
    AND w.plain_until = 'infinity' AND s.is_on AND s.sealed_after <= now()
    AND tenant = coalesce(nullif(current_setting('app.tenant_id', true), '')::uuid, tenant)
$$
""",
    """
CREATE OR REPLACE FUNCTION wrapped_key_of(tenant uuid, subject uuid)
RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE w.tenant_id = tenant AND w.user_id = subject
    AND tenant = coalesce(nullif(current_setting('app.tenant_id', true), '')::uuid, tenant)
$$
""",
    """
CREATE OR REPLACE FUNCTION wrapped_keys_page(
    after_tenant uuid, after_user uuid, page integer, other_than text
) RETURNS TABLE (tenant_id uuid, user_id uuid, id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.tenant_id, w.user_id, w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE (w.tenant_id, w.user_id) > (after_tenant, after_user)
    AND w.master_id IS DISTINCT FROM other_than
    AND w.tenant_id = coalesce(
        nullif(current_setting('app.tenant_id', true), '')::uuid, w.tenant_id)
    ORDER BY w.tenant_id, w.user_id LIMIT page
$$
""",
)

BEFORE = (
    """
CREATE OR REPLACE FUNCTION keep_wrapped_key(
    tenant uuid, subject uuid, new_id uuid, master text, sealed_key bytea, was_plain boolean
) RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
""",
    """
CREATE OR REPLACE FUNCTION rewrap_key(
    tenant uuid, subject uuid, key_id uuid, before bytea, master text, sealed_key bytea
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF current_setting('synchronous_commit') <> 'remote_apply' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    UPDATE wrapped_keys w SET master_id = master, wrapped = sealed_key
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND w.wrapped = before;
    RETURN FOUND;
END $$
""",
    """
CREATE OR REPLACE FUNCTION drop_wrapped_key(tenant uuid, subject uuid, key_id uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM wrapped_keys w USING sealing s
        WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND NOT s.is_on
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM gone)
$$
""",
    """
CREATE OR REPLACE FUNCTION note_sealed(tenant uuid, subject uuid, key_id uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE wrapped_keys w SET plain_until = now() FROM sealing s
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id
    AND w.plain_until = 'infinity' AND s.is_on AND s.sealed_after <= now()
$$
""",
    """
CREATE OR REPLACE FUNCTION wrapped_key_of(tenant uuid, subject uuid)
RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE w.tenant_id = tenant AND w.user_id = subject
$$
""",
    """
CREATE OR REPLACE FUNCTION wrapped_keys_page(
    after_tenant uuid, after_user uuid, page integer, other_than text
) RETURNS TABLE (tenant_id uuid, user_id uuid, id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.tenant_id, w.user_id, w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE (w.tenant_id, w.user_id) > (after_tenant, after_user)
    AND w.master_id IS DISTINCT FROM other_than
    ORDER BY w.tenant_id, w.user_id LIMIT page
$$
""",
)
