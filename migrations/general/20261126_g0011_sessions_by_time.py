"""Sessions in the order of the database's clock: an index for it, under the name of the one before.

Ids are in the order of the clocks of the processes that made them, of which any may be wrong. The
index on ids stays, for the version before and for what reads a person's sessions in any fixed
order. Whatever fails here, the same upgrade may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "g0011"
down_revision = "g0010"
branch_labels = None
depends_on = None

BUILT = "idx_chat_sessions_created_at"
LISTED = "idx_chat_sessions_user_id"
BY_ID = "idx_chat_sessions_user_id_id"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # What an upgrade that failed has left, not valid.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {BUILT}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {BUILT}"
            " ON chat_sessions (tenant_id, user_id, created_at, id)"
        )
    _rename(LISTED, BY_ID)
    _rename(BUILT, LISTED)


def downgrade() -> None:
    _rename(LISTED, BUILT)
    _rename(BY_ID, LISTED)
    op.execute(f"DROP INDEX {BUILT}")


def _rename(index: str, to: str) -> None:
    """No statement names an index. It blocks neither readers nor writers."""
    op.execute(f"-- squawk-ignore renaming-object\nALTER INDEX {index} RENAME TO {to}")
