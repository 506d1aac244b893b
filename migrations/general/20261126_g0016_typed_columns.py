"""Columns for typed messages that can be mended, and for conversations that are found again.

The version before keeps running: each column is nullable or has a default, and means for the rows
of before what they were. Whatever fails here, the same upgrade may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "g0016"
down_revision = "g0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {column}" for column in columns)
        op.execute(f"-- squawk-ignore adding-field-with-default\nALTER TABLE {table} {added}")
    _drop_check("ck_messages_any_role")
    op.execute(f"ALTER TABLE messages ADD CONSTRAINT ck_messages_any_role {ROLES} NOT VALID")
    _drop_check("ck_messages_role")
    with op.get_context().autocommit_block():
        # Rows of before passed a narrower check, so there is none that this one would refuse.
        op.execute("ALTER TABLE messages VALIDATE CONSTRAINT ck_messages_any_role")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an upgrade's that failed
            op.execute(definition.format(name=name))
    op.execute(RENAME_CHECK)


def _drop_check(name: str) -> None:
    drop = f"ALTER TABLE messages DROP CONSTRAINT IF EXISTS {name}"
    op.execute(f"-- squawk-ignore ban-drop-constraint\n{drop}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE messages DROP CONSTRAINT ck_messages_role")
    op.execute(f"ALTER TABLE messages ADD CONSTRAINT ck_messages_role {ROLES_OF_BEFORE} NOT VALID")
    op.execute("ALTER TABLE messages VALIDATE CONSTRAINT ck_messages_role")
    for table, columns in COLUMNS.items():
        dropped = ", ".join(f"DROP COLUMN {column.split()[0]}" for column in columns)
        op.execute(f"ALTER TABLE {table} {dropped}")


RENAME_CHECK = (
    "-- squawk-ignore renaming-object\n"  # no statement names a check
    "ALTER TABLE messages RENAME CONSTRAINT ck_messages_any_role TO ck_messages_role"
)
ROLES = "CHECK (role IN ('user', 'assistant', 'system', 'developer', 'tool'))"
ROLES_OF_BEFORE = "CHECK (role IN ('user', 'assistant'))"
STATUSES = (
    "CONSTRAINT ck_messages_status CHECK (status IN ('completed', 'in_progress', 'incomplete'))"
)

COLUMNS = {
    "chat_sessions": (
        "last_position bigint",  # NULL: message_count
        "version bigint NOT NULL DEFAULT 0",
        "metadata text",  # JSON
        "metadata_tags bytea[]",
        "external_id varchar(255)",
        "expires_at timestamptz",
        "created_by uuid",  # the API key; NULL: the person
        "forked_from_session uuid",
        "forked_from_position bigint",
        "changed_minute timestamptz NOT NULL DEFAULT date_trunc('minute', now())",
    ),
    "messages": (
        "parts text",  # JSON, where `content` is not all there is
        "metadata text",  # JSON
        "client_id varchar(255)",
        "client_digest bytea",
        "item_id varchar(255)",
        "item_members text",  # JSON
        "is_item boolean NOT NULL DEFAULT false",
        f"status varchar(20) NOT NULL DEFAULT 'completed' {STATUSES}",
        "created_by uuid",
        "updated_at timestamptz",  # NULL: created_at
    ),
    # The positions that the answer quotes; NULL: any of the conversation's.
    "general_idempotency_keys": ("first_position bigint", "last_position bigint"),
}

INDEXES = {
    "idx_messages_client_id": "CREATE UNIQUE INDEX CONCURRENTLY {name} ON messages"
    " (tenant_id, session_id, client_id) WHERE client_id IS NOT NULL",
    "idx_messages_item_id": "CREATE UNIQUE INDEX CONCURRENTLY {name} ON messages"
    " (tenant_id, session_id, item_id) WHERE item_id IS NOT NULL",
    "idx_chat_sessions_external_id": "CREATE UNIQUE INDEX CONCURRENTLY {name} ON chat_sessions"
    " (tenant_id, user_id, external_id) WHERE external_id IS NOT NULL",
    "idx_chat_sessions_changed_minute": "CREATE INDEX CONCURRENTLY {name} ON chat_sessions"
    " (tenant_id, user_id, changed_minute)",
}
