"""A token, a block and an idempotency key belong to a user of their own tenant, by constraints.

Row level security looks at a row's tenant alone, and a foreign key's check goes past it. So whoever
acted in one tenant could make a token for a user of another, and learn by the foreign key's answer
whether an id exists. The same holds of names and roles: a username begins with its tenant's name,
and only the tenant `platform` has administrators of the platform.

The foreign keys hold for rows to come; u0013 sees to those that are there.
"""

from __future__ import annotations

from alembic import op

revision = "u0012"
down_revision = "u0011"
branch_labels = None
depends_on = None

TABLES = ("access_tokens", "user_blocks", "user_idempotency_keys")


def upgrade() -> None:
    op.execute(LOCK)
    for table in TABLES:
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_tenant_id_users"
            " FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)"
            " ON DELETE CASCADE NOT VALID"
        )
    for statement in (*FUNCTIONS, *TRIGGERS, AUTHENTICATE % BOTH, LOCK_ACTOR):
        op.execute(statement)


def downgrade() -> None:
    op.execute(LOCK_ACTOR_BEFORE)
    op.execute(AUTHENTICATE % "u.id = t.user_id")
    for function, table in DROPPED.items():
        op.execute(f"DROP TRIGGER {function} ON {table}")
        op.execute(f"DROP FUNCTION {function}()")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT fk_{table}_tenant_id_users")


# All at once, or none: whoever waits while holding one of them could wait for a request that waits
# for it. A try is shorter than the second after which PostgreSQL looks for such a deadlock.
LOCK = """
DO $$
BEGIN
    SET LOCAL lock_timeout = '300ms';
    FOR try IN 1..50 LOOP
        BEGIN
            LOCK TABLE tenants, users, access_tokens, user_blocks, user_idempotency_keys
                IN SHARE ROW EXCLUSIVE MODE;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    RAISE lock_not_available;
END $$
"""

FUNCTIONS = (
    r"""
CREATE FUNCTION keep_user_at_home() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    home varchar;
BEGIN
    SELECT t.name INTO home FROM public.tenants t WHERE t.id = NEW.tenant_id;
    IF NOT FOUND THEN
        RETURN NEW; -- row level security refuses it, or the foreign key
    END IF;
    IF NOT starts_with(NEW.username, format('\%s\', home)) THEN
        RAISE EXCEPTION 'a username begins with the name of its tenant'
            USING ERRCODE = '23514', CONSTRAINT = 'keep_user_at_home', TABLE = 'users';
    END IF;
    IF NEW.roles ? 'admin' AND home <> 'platform' THEN
        RAISE EXCEPTION 'only the tenant platform has administrators of the platform'
            USING ERRCODE = '23514', CONSTRAINT = 'keep_user_at_home', TABLE = 'users';
    END IF;
    RETURN NEW;
END $$
""",
    """
CREATE FUNCTION keep_tenant_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a tenant keeps its id and its name' USING ERRCODE = '23514';
END $$
""",
    """
CREATE FUNCTION keep_block_at_home() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM public.tenants t WHERE t.id = NEW.tenant_id AND NOT EXISTS (
        SELECT FROM public.users u WHERE u.tenant_id = t.id AND u.id = NEW.user_id);
    IF FOUND THEN
        RAISE EXCEPTION 'there is no such user in this tenant'
            USING ERRCODE = '23503', CONSTRAINT = 'fk_user_blocks_user_id_users',
            TABLE = 'user_blocks';
    END IF;
    RETURN NEW;
END $$
""",
    """
CREATE FUNCTION keep_answer_at_home() RETURNS trigger
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
""",
)

TRIGGERS = (
    """
CREATE TRIGGER keep_user_at_home BEFORE INSERT OR UPDATE OF tenant_id, username, roles ON users
    FOR EACH ROW EXECUTE FUNCTION keep_user_at_home()
""",
    """
CREATE TRIGGER keep_tenant_name BEFORE UPDATE OF id, name ON tenants FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.name <> NEW.name) EXECUTE FUNCTION keep_tenant_name()
""",
    """
CREATE TRIGGER keep_block_at_home BEFORE INSERT OR UPDATE OF tenant_id, user_id ON user_blocks
    FOR EACH ROW EXECUTE FUNCTION keep_block_at_home()
""",
    """
CREATE TRIGGER keep_answer_at_home BEFORE INSERT OR UPDATE OF about_id ON user_idempotency_keys
    FOR EACH ROW WHEN (NEW.about_id IS NOT NULL) EXECUTE FUNCTION keep_answer_at_home()
""",
)

DROPPED = {
    "keep_answer_at_home": "user_idempotency_keys",
    "keep_block_at_home": "user_blocks",
    "keep_tenant_name": "tenants",
    "keep_user_at_home": "users",
}

BOTH = "u.tenant_id = t.tenant_id AND u.id = t.user_id"
AUTHENTICATE = """
CREATE OR REPLACE FUNCTION authenticate(token_digest bytea, idle interval)
RETURNS TABLE (user_id uuid, tenant_id uuid, username varchar, roles jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    used timestamptz;
BEGIN
    SELECT u.id, u.tenant_id, u.username, u.roles, t.last_used_at
    INTO user_id, tenant_id, username, roles, used
    FROM access_tokens t JOIN users u ON %s
    WHERE t.digest = token_digest AND t.expires_at > now() AND t.last_used_at > now() - idle
    AND u.is_active AND NOT u.is_blocked;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF used < now() - least(interval '1 minute', idle / 4)
    AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE access_tokens t SET last_used_at = now() WHERE t.digest = token_digest;
    END IF;
    RETURN NEXT;
END $$
"""

LOCK_ACTOR = """
CREATE OR REPLACE FUNCTION lock_actor(actor uuid, token bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    present jsonb;
    home uuid;
BEGIN
    SELECT u.roles, u.tenant_id INTO present, home FROM users u
    WHERE u.id = actor AND u.is_active AND NOT u.is_blocked FOR SHARE;
    PERFORM FROM access_tokens t
    WHERE t.digest = token AND t.user_id = actor AND t.tenant_id = home AND t.expires_at > now()
    FOR KEY SHARE;
    RETURN CASE WHEN FOUND THEN present END;
END $$
"""

LOCK_ACTOR_BEFORE = """
CREATE OR REPLACE FUNCTION lock_actor(actor uuid, token bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    present jsonb;
BEGIN
    SELECT u.roles INTO present FROM users u
    WHERE u.id = actor AND u.is_active AND NOT u.is_blocked FOR SHARE;
    PERFORM FROM access_tokens t
    WHERE t.digest = token AND t.user_id = actor AND t.expires_at > now() FOR KEY SHARE;
    RETURN CASE WHEN FOUND THEN present END;
END $$
"""
