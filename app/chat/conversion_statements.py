"""The statements of a conversion, which writes a row only where it still equals what was read.

A session's own row is read and written under its lock.
"""

from __future__ import annotations

from sqlalchemy import text

from app.chat.session_rows import COLUMNS

SESSIONS = text(f"""
SELECT {", ".join(one.name for one in COLUMNS)} FROM chat_sessions
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id > :after ORDER BY id LIMIT 100
""")  # noqa: S608  # names of ours
LOCK = text(f"""
SELECT {", ".join(one.name for one in COLUMNS)} FROM chat_sessions
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = :session_id FOR NO KEY UPDATE
""")  # noqa: S608  # names of ours
WRITE_SESSION = text("""
UPDATE chat_sessions
SET title = :title, metadata = :metadata, metadata_tags = :tags, sealed = :sealed
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = :session_id
RETURNING id
""")
MESSAGES = text("""
SELECT * FROM stored_messages(
    :tenant_id, :session_id, :after, 9007199254740991, :sealed_ones, :rows, :bytes)
""")
WRITE_MESSAGES = text("""
UPDATE messages m
SET content = new.content, parts = new.parts, metadata = new.metadata, item_members = new.members,
    client_digest = new.digest, sealed = new.sealed, sealed_size = new.size
FROM unnest(
    CAST(:ids AS uuid[]), CAST(:content AS text[]), CAST(:parts AS text[]),
    CAST(:metadata AS text[]), CAST(:members AS text[]), CAST(:digest AS bytea[]),
    CAST(:sealed AS bytea[]), CAST(:size AS integer[]), CAST(:old_content AS text[]),
    CAST(:old_parts AS text[]), CAST(:old_metadata AS text[]), CAST(:old_item_members AS text[]),
    CAST(:old_sealed AS bytea[])
) AS new (
    id, content, parts, metadata, members, digest, sealed, size, old_content, old_parts,
    old_metadata, old_members, old_sealed)
WHERE m.tenant_id = :tenant_id AND m.session_id = :session_id AND m.id = new.id
AND m.sealed IS NOT DISTINCT FROM new.old_sealed AND m.content = new.old_content
AND m.parts IS NOT DISTINCT FROM new.old_parts
AND m.metadata IS NOT DISTINCT FROM new.old_metadata
AND m.item_members IS NOT DISTINCT FROM new.old_members
RETURNING m.id
""")
# They are read one at a time, since an answer may be ten megabytes.
ANSWERS = text("""
SELECT key, answer, fingerprint, about_id, sealed FROM general_idempotency_keys
WHERE tenant_id = :tenant_id AND user_id = :user_id AND key > :after
AND CASE WHEN :to_sealed THEN answer IS NOT NULL ELSE sealed IS NOT NULL END
ORDER BY key LIMIT 1
""")
# It runs under the lock of the session that the answer quotes. Otherwise forget_answers, which
# skips locked rows, could skip this one.
WRITE_ANSWER = text("""
UPDATE general_idempotency_keys
SET answer = :answer, fingerprint = :fingerprint, sealed = :sealed
WHERE tenant_id = :tenant_id AND user_id = :user_id AND key = :key
AND answer IS NOT DISTINCT FROM CAST(:old_answer AS bytea)
AND sealed IS NOT DISTINCT FROM CAST(:old_sealed AS bytea)
RETURNING key
""")
CHECK_KEY = text("SELECT check_write_under(:tenant_id, :user_id, :seal_key, NULL)")
FORGET_KEY = text("SELECT forget_key(:tenant_id, :user_id)")
