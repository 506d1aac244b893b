"""The index for foreign keys on tenant and user together, and a look at the rows for their owner.

A foreign key is validated by a query of the tables' owner, from whom FORCE ROW LEVEL SECURITY hides
every row: it would hold of none, and so be valid. The policies let the owner see them meanwhile;
u0014 takes them away. Each statement is a transaction of its own, which locks one table for a
moment. Whatever fails here, the same upgrade may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "u0011"
down_revision = "u0009"
branch_labels = None
depends_on = None

INDEX = "idx_users_tenant_id_id"
TABLES = ("users", "access_tokens", "user_blocks", "user_idempotency_keys")
ROLES = """jsonb_typeof(roles) = 'array' AND roles <@ '["member", "tenant_admin", "admin"]'"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # What an upgrade that failed has left, the index perhaps not valid.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON users (tenant_id, id)")
        op.execute(
            "-- squawk-ignore ban-drop-constraint\n"
            "ALTER TABLE users DROP CONSTRAINT IF EXISTS ck_users_roles"
        )
        op.execute(f"ALTER TABLE users ADD CONSTRAINT ck_users_roles CHECK ({ROLES}) NOT VALID")
        for table in TABLES:
            op.execute(f"DROP POLICY IF EXISTS validation ON {table}")
            op.execute(f"CREATE POLICY validation ON {table} TO CURRENT_USER USING (true)")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP POLICY validation ON {table}")
    op.execute("ALTER TABLE users DROP CONSTRAINT ck_users_roles")
    op.execute(f"DROP INDEX {INDEX}")
