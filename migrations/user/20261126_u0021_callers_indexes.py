"""Indexes for the callers of u0020 on tables that have rows, and ids for the tokens of before.

Whatever fails here, the same upgrade may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "u0021"
down_revision = "u0020"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_users_external_id": (
        "UNIQUE",
        "users (tenant_id, external_id) WHERE external_id IS NOT NULL",
    ),
    "idx_access_tokens_api_key_id": (
        "",
        "access_tokens (tenant_id, api_key_id) WHERE api_key_id IS NOT NULL",
    ),
}
VALID = {
    "users": ["ck_users_external_id"],
    "access_tokens": ["ck_access_tokens_scopes", "fk_access_tokens_tenant_id_api_keys"],
}
# FORCE holds the owner, too, who must see all rows here. A policy of its own lets nobody else in.
TOKENS = (
    "DROP POLICY IF EXISTS filling ON access_tokens",
    "CREATE POLICY filling ON access_tokens TO CURRENT_USER USING (true) WITH CHECK (true)",
    "UPDATE access_tokens SET id = gen_random_uuid() WHERE id IS NULL",
    "DROP POLICY filling ON access_tokens",
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for index, (unique, columns) in INDEXES.items():
            # What an upgrade that failed has left, not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            op.execute(f"CREATE {unique} INDEX CONCURRENTLY {index} ON {columns}")
        for statement in TOKENS:
            op.execute(statement)
        for table, constraints in VALID.items():
            for name in constraints:
                op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    for index in INDEXES:
        op.execute(f"DROP INDEX {index}")
