"""Messages are read, edited and deleted by position; stored answers that quote them are emptied.

The version before goes on appending by functions that know of no deleted position yet, until they
are replaced. Whatever fails here, the same upgrade may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "g0025"
down_revision = "g0016"
branch_labels = None
depends_on = None

INDEX = "idx_general_idempotency_keys_about_id"
TABLE = "general_idempotency_keys"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}_new")  # an upgrade's that failed
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX}_new ON {TABLE}"
            " (tenant_id, about_id, last_position, first_position) WHERE about_id IS NOT NULL"
        )
    _drop()
    op.execute(f"-- squawk-ignore renaming-object\nALTER INDEX {INDEX}_new RENAME TO {INDEX}")
    for statement in (FORGET, FIND, EDIT, DELETE):
        op.execute(statement)


def downgrade() -> None:
    for name in ("delete_messages", "edit_message", "message_of", "forget_answers"):
        op.execute(f"DROP FUNCTION {name}")
    _drop()
    op.execute(f"CREATE INDEX {INDEX} ON {TABLE} (tenant_id, about_id) WHERE about_id IS NOT NULL")


def _drop() -> None:
    """The table is locked for a moment only."""
    op.execute(f"-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX {INDEX}")


FORGET = """
CREATE FUNCTION forget_answers(tenant uuid, session uuid, first bigint, last bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH quoting AS MATERIALIZED (
        SELECT k.user_id, k.key FROM general_idempotency_keys k
        WHERE k.tenant_id = tenant AND k.about_id = session
        AND (k.last_position IS NULL OR (k.last_position >= first AND k.first_position <= last))
        AND k.answer IS NOT NULL
        FOR UPDATE OF k SKIP LOCKED
    )
    UPDATE general_idempotency_keys k SET answer = NULL, fingerprint = NULL FROM quoting q
    WHERE k.tenant_id = tenant AND k.user_id = q.user_id AND k.key = q.key;
END $$
"""

FIND = """
CREATE FUNCTION message_of(tenant uuid, owner uuid, session uuid, place bigint)
RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint, changed_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT m.id, m.position, m.role, CASE WHEN m.parts IS NULL THEN m.content END, m.parts,
            m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
            s.version, s.updated_at
        FROM chat_sessions s
        JOIN messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner AND m.position = place;
END $$
"""

EDIT = """
CREATE FUNCTION edit_message(
    tenant uuid, owner uuid, session uuid, place bigint, expected_version bigint,
    expected_at timestamptz, any_role boolean, has_content boolean, new_content text,
    new_parts text, has_metadata boolean, new_metadata text, new_status text,
    not_after timestamptz
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint, changed_at timestamptz, refusal text
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT s.version, s.updated_at INTO version, changed_at FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT m.role INTO role FROM messages m
    WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    refusal := CASE
        WHEN role <> 'user' AND NOT any_role THEN 'role'
        WHEN (expected_version, expected_at) <> (version, changed_at) THEN 'changed' END;
    IF refusal IS NULL THEN
        UPDATE chat_sessions s SET version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session
        RETURNING s.version, s.updated_at INTO version, changed_at;
        UPDATE messages m SET
            content = CASE WHEN has_content THEN new_content ELSE m.content END,
            parts = CASE WHEN has_content THEN new_parts ELSE m.parts END,
            item_members = CASE WHEN NOT has_content THEN m.item_members END,
            is_item = m.is_item AND NOT has_content,
            metadata = CASE WHEN has_metadata THEN new_metadata ELSE m.metadata END,
            status = coalesce(new_status, m.status), updated_at = changed_at
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place
        RETURNING m.id, m.position, CASE WHEN m.parts IS NULL THEN m.content END, m.parts,
            m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at
        INTO id, "position", content, parts, metadata, client_id, status, created_by, created_at,
            updated_at;
        PERFORM forget_answers(tenant, session, place, place);
        PERFORM check_write(tenant, owner, not_after);
    END IF;
    RETURN NEXT;
END $$
"""

DELETE = """
CREATE FUNCTION delete_messages(
    tenant uuid, owner uuid, session uuid, first bigint, last bigint, expected_version bigint,
    expected_at timestamptz, not_after timestamptz
) RETURNS TABLE (
    is_there boolean, is_expected boolean, deleted bigint, version bigint, changed_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT s.version, s.updated_at INTO version, changed_at FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    is_there := EXISTS (
        SELECT FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session
        AND m.position >= first AND m.position <= last);
    is_expected := expected_version IS NULL
        OR (expected_version = version AND expected_at = changed_at);
    deleted := 0;
    IF is_there AND is_expected THEN
        DELETE FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session
        AND m.position >= first AND m.position <= last;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        UPDATE chat_sessions s SET message_count = s.message_count - deleted,
            last_position = coalesce(s.last_position, s.message_count),
            version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session
        RETURNING s.version, s.updated_at INTO version, changed_at;
        PERFORM forget_answers(tenant, session, first, last);
    END IF;
    PERFORM check_write(tenant, owner, not_after);
    RETURN NEXT;
END $$
"""
