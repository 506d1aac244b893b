"""The foreign keys on tenant and user take the names, and the places, of those on the user alone.

The names stay because the version before knows them: what it answers is made of them.
"""

from __future__ import annotations

from alembic import op

revision = "u0014"
down_revision = "u0013"
branch_labels = None
depends_on = None

TABLES = ("access_tokens", "user_blocks", "user_idempotency_keys")


def upgrade() -> None:
    op.execute(LOCK)
    for table in TABLES:
        op.execute(
            "-- squawk-ignore ban-drop-constraint\n"
            f"ALTER TABLE {table} DROP CONSTRAINT fk_{table}_user_id_users"
        )
        op.execute(
            "-- squawk-ignore renaming-object\n"
            f"ALTER TABLE {table} RENAME CONSTRAINT fk_{table}_tenant_id_users"
            f" TO fk_{table}_user_id_users"
        )
    for table in ("users", *TABLES):
        op.execute(f"DROP POLICY validation ON {table}")


def downgrade() -> None:
    """The key on the user alone follows from the other, so it needs no validation."""
    for table in ("users", *TABLES):
        op.execute(f"CREATE POLICY validation ON {table} TO CURRENT_USER USING (true)")
    for table in TABLES:
        op.execute(
            f"ALTER TABLE {table} RENAME CONSTRAINT fk_{table}_user_id_users"
            f" TO fk_{table}_tenant_id_users"
        )
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_user_id_users"
            " FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE"
        )


# As in u0012: all at once, or none.
LOCK = """
DO $$
BEGIN
    SET LOCAL lock_timeout = '300ms';
    FOR try IN 1..50 LOOP
        BEGIN
            LOCK TABLE users, access_tokens, user_blocks, user_idempotency_keys
                IN ACCESS EXCLUSIVE MODE;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    RAISE lock_not_available;
END $$
"""
