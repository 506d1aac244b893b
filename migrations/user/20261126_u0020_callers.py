"""A product's backend as a caller: API keys, people without a password, minted tokens.

The version before goes on: it writes none of the new columns, and what it reads is as it was. Only
a person without a password or an address, whom it cannot make, is new to it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "u0020"
down_revision = "u0014"
branch_labels = None
depends_on = None

TIMES = sa.DateTime(timezone=True)


def upgrade() -> None:
    _users()
    _api_keys()
    _access_tokens()
    _answers()
    op.execute(FORGET)


def downgrade() -> None:
    op.drop_table("api_key_answers")
    op.execute("DELETE FROM access_tokens WHERE scopes IS NOT NULL")
    op.execute(
        "ALTER TABLE access_tokens DROP COLUMN api_key_id, DROP COLUMN scopes, DROP COLUMN id"
    )
    op.drop_table("api_keys")
    # Whoever has neither cannot be told to the version before.
    op.execute("DELETE FROM users WHERE password_hash IS NULL OR email IS NULL")
    op.execute("ALTER TABLE users DROP COLUMN external_id")
    op.execute("ALTER TABLE users ALTER email SET NOT NULL, ALTER password_hash SET NOT NULL")


def _users() -> None:
    """Let people be whom a product knows by `external_id`, without password or address perhaps."""
    op.execute('ALTER TABLE users ADD COLUMN external_id varchar(255) COLLATE "C"')
    for column in ("email", "password_hash"):
        op.execute(
            f"-- squawk-ignore ban-drop-not-null\nALTER TABLE users ALTER {column} DROP NOT NULL"
        )
    op.execute(
        "ALTER TABLE users ADD CONSTRAINT ck_users_external_id"
        r" CHECK (external_id ~ '^[!-~]+$' AND external_id NOT IN ('.', '..')) NOT VALID"
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.JSONB(), nullable=False),
        sa.Column("created_by", sa.Uuid()),
        sa.Column("created_at", TIMES, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", TIMES),
        sa.Column("last_used_at", TIMES),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_api_keys_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.CheckConstraint(SCOPES, name=op.f("ck_api_keys_scopes")),
    )
    op.create_index("idx_api_keys_digest", "api_keys", ["digest"], unique=True)
    op.create_index("idx_api_keys_tenant_id", "api_keys", ["tenant_id", "created_at", "id"])
    op.create_index("idx_api_keys_id", "api_keys", ["id"], unique=True)
    _keep_tenants_apart("api_keys")


SCOPES = (
    "jsonb_typeof(scopes) = 'array' AND scopes <> '[]' AND scopes <@ "
    '\'["chat:read", "chat:write", "export", "users:read", "users:write", "users:erase",'
    ' "tokens"]\''
)
MINTED_SCOPES = (
    "CHECK (jsonb_typeof(scopes) = 'array' AND scopes <> '[]'"
    ' AND scopes <@ \'["chat:read", "chat:write", "chat:write:any"]\') NOT VALID'
)


def _access_tokens() -> None:
    """`scopes` are NULL for a token that came of a login, and set for one that was minted.

    The next revision gives an id to the tokens that there are: a default in the statement that adds
    the column would write the whole table anew under its lock.
    """
    op.execute(
        "ALTER TABLE access_tokens"
        " ADD COLUMN id uuid, ADD COLUMN scopes jsonb, ADD COLUMN api_key_id uuid"
    )
    op.execute("ALTER TABLE access_tokens ALTER id SET DEFAULT gen_random_uuid()")
    op.execute(f"ALTER TABLE access_tokens ADD CONSTRAINT ck_access_tokens_scopes {MINTED_SCOPES}")
    op.execute(
        "ALTER TABLE access_tokens ADD CONSTRAINT fk_access_tokens_tenant_id_api_keys"
        " FOREIGN KEY (tenant_id, api_key_id) REFERENCES api_keys (tenant_id, id)"
        " ON DELETE CASCADE NOT VALID"
    )


def _answers() -> None:
    """Make a table for idempotency keys of calls that an API key makes for nobody."""
    table = "api_key_answers"
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("about_id", sa.Uuid()),
        sa.Column("expires_at", TIMES, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "api_key_id", "key", name="pk_api_key_answers"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "api_key_id"],
            ["api_keys.tenant_id", "api_keys.id"],
            name="fk_api_key_answers_tenant_id_api_keys",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["about_id"],
            ["users.id"],
            name="fk_api_key_answers_about_id_users",
            ondelete="SET NULL",
        ),
    )
    op.create_index(
        "idx_api_key_answers_about_id",
        table,
        ["about_id"],
        postgresql_where=sa.text("about_id IS NOT NULL"),
    )
    op.create_index("idx_api_key_answers_expires_at", table, ["expires_at"])
    _keep_tenants_apart(table)


def _keep_tenants_apart(table: str) -> None:
    """Set the policies as u0001 does for its tables."""
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    across = "current_user <> session_user"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table}"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    op.execute(
        f"CREATE POLICY across ON {table} TO CURRENT_USER USING ({across}) WITH CHECK ({across})"
    )


# As with `user_idempotency_keys`: the answer goes with whom it tells of, and the key stays used.
FORGET = """
CREATE TRIGGER forget_answer BEFORE UPDATE OF about_id ON api_key_answers
    FOR EACH ROW WHEN (NEW.about_id IS NULL) EXECUTE FUNCTION forget_answer()
"""
