"""Owners: whom a conversation belongs to, and whether they may still open one.

An owner is never removed: once erased it is the tombstone. The version before this one goes on
inserting sessions without knowing of owners: a trigger makes them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "g0002"
down_revision = "g0001"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
TIMES = sa.DateTime(timezone=True)
NONE_YET = sa.text("0")


def upgrade() -> None:
    _owners()
    _keep_tenants_apart()
    for statement in (FORWARD, MAKE, OPEN, *TRIGGERS, FOREIGN_KEY):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE chat_sessions DROP CONSTRAINT fk_chat_sessions_tenant_id_owners")
    op.execute("DROP TRIGGER make_owner ON chat_sessions")
    op.execute("DROP TRIGGER owner_is_open ON chat_sessions")
    op.drop_table("owners")
    for function in ("keep_owner_forward", "make_owner", "owner_is_open"):
        op.execute(f"DROP FUNCTION {function}()")
    op.execute("ALTER TABLE chat_sessions FORCE ROW LEVEL SECURITY")


def _owners() -> None:
    op.create_table(
        "owners",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(10), server_default=sa.text("'open'"), nullable=False),
        sa.Column("created_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("closed_at", TIMES),
        # What was purged so far, counted in the transactions that purge.
        sa.Column("chat_sessions", sa.BigInteger(), server_default=NONE_YET, nullable=False),
        sa.Column("messages", sa.BigInteger(), server_default=NONE_YET, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name="pk_owners"),
        sa.CheckConstraint("state IN ('open', 'closed', 'erased')", name=op.f("ck_owners_state")),
    )


def _keep_tenants_apart() -> None:
    """FORCE binds the owner, too. Not before g0004: g0003, as the owner, fills in all tenants'."""
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    op.execute("ALTER TABLE owners ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON owners"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    op.execute("ALTER TABLE chat_sessions NO FORCE ROW LEVEL SECURITY")


FORWARD = """
CREATE FUNCTION keep_owner_forward() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    states constant text[] := ARRAY['open', 'closed', 'erased'];
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'an owner is never removed' USING ERRCODE = '23514';
    END IF;
    IF (NEW.tenant_id, NEW.user_id) IS DISTINCT FROM (OLD.tenant_id, OLD.user_id)
    OR array_position(states, NEW.state::text) < array_position(states, OLD.state::text)
    OR NEW.chat_sessions < OLD.chat_sessions OR NEW.messages < OLD.messages THEN
        RAISE EXCEPTION 'an owner only moves forward' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$
"""

# On first use. One that is closed already stays so: the tombstone wins.
MAKE = """
CREATE FUNCTION make_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.owners (tenant_id, user_id) VALUES (NEW.tenant_id, NEW.user_id)
    ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$
"""

# AFTER, since before it the row has no transaction that a closing relay could wait for. The lock
# is what it waits for; it must be taken no later than the state is read, whatever else the
# statement has locked. An older snapshot would show an owner open who is closed.
OPEN = """
CREATE FUNCTION owner_is_open() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'sessions are written in READ COMMITTED only' USING ERRCODE = '25000';
    END IF;
    PERFORM FROM public.owners o
    WHERE o.tenant_id = NEW.tenant_id AND o.user_id = NEW.user_id AND o.state = 'open'
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the owner is closed: deleted, or about to be'
            USING ERRCODE = '23514', CONSTRAINT = 'owner_is_open', TABLE = 'chat_sessions';
    END IF;
    RETURN NULL;
END $$
"""

TRIGGERS = (
    """
CREATE TRIGGER keep_owner_forward BEFORE UPDATE OR DELETE ON owners
    FOR EACH ROW EXECUTE FUNCTION keep_owner_forward()
""",
    """
CREATE TRIGGER refuse_owners_truncate BEFORE TRUNCATE ON owners
    FOR EACH STATEMENT EXECUTE FUNCTION keep_owner_forward()
""",
    """
CREATE TRIGGER make_owner BEFORE INSERT ON chat_sessions
    FOR EACH ROW EXECUTE FUNCTION make_owner()
""",
    """
CREATE TRIGGER owner_is_open AFTER INSERT OR UPDATE OF tenant_id, user_id ON chat_sessions
    FOR EACH ROW EXECUTE FUNCTION owner_is_open()
""",
)

# For the sessions to come; g0003 sees to those that are there.
FOREIGN_KEY = """
ALTER TABLE chat_sessions ADD CONSTRAINT fk_chat_sessions_tenant_id_owners
    FOREIGN KEY (tenant_id, user_id) REFERENCES owners (tenant_id, user_id) NOT VALID
"""
