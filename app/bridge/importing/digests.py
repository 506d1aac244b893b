"""Digests what people have said, as lines of a file and as rows that are stored, to compare both.

A conversation's digest is of its own line and of its messages' lines by position. A person's is the
sum of those, so that the order of conversations does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

from app.bridge.export.full_lines import message_line, session_line
from app.bridge.export.stored import BY_SESSION, StoredRows
from app.chat.words import Seal
from app.databases.connection import TenantConnection

MODULUS = 1 << 256
# PostgreSQL writes the lines here that message_line writes of the same rows, but for sealed ones.
# The messages of each conversation are read by their index, whatever is known of the tables.
SAID = """
SELECT s.id, said.digest FROM chat_sessions s CROSS JOIN LATERAL (
    SELECT sha256(string_agg(sha256(convert_to(concat(
        '{"type":"message","id":"', m.id, '","session_id":"', m.session_id,
        '","position":', m.position, ',"role":"', m.role, '","content":',
        coalesce(translate(m.parts, E'\\r\\n', '  '), to_json(m.content)::text),
        ',"metadata":', coalesce(m.metadata, '{}'),
        ',"client_id":', coalesce(to_json(m.client_id)::text, 'null'),
        ',"status":"', m.status,
        '","created_by":', coalesce('"' || m.created_by || '"', 'null'),
        ',"created_at":"', replace(to_char(m.created_at AT TIME ZONE 'UTC', $3), '.000000', ''),
        '","updated_at":"', replace(to_char(
            coalesce(m.updated_at, m.created_at) AT TIME ZONE 'UTC', $3), '.000000', ''),
        '","item_id":', coalesce(to_json(m.item_id)::text, 'null'),
        ',"item_members":', coalesce(translate(m.item_members, E'\\r\\n', '  '), 'null'),
        ',"is_item":', m.is_item::text,
        ',"client_digest":', coalesce('"' || encode(m.client_digest, 'hex') || '"', 'null'),
        CASE WHEN m.parts ~ E'[\\r\\n]' THEN ',"content_text":' || to_json(m.parts) END,
        CASE WHEN m.item_members ~ E'[\\r\\n]'
            THEN ',"members_text":' || to_json(m.item_members) END,
        E'}\\n'), 'UTF8')), '' ORDER BY m.position)) AS digest
    FROM messages m WHERE m.tenant_id = $1 AND m.session_id = s.id
) AS said
WHERE s.tenant_id = $1 AND s.user_id = ANY ($2::uuid[])
"""
TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
NOTHING = sha256().digest()


class Conversation:
    """The digest of a conversation whose messages are added by position."""

    __slots__ = ("_line", "_said")

    def __init__(self, line: bytes) -> None:
        self._line = sha256(line).digest()
        self._said = sha256()

    def add(self, line: bytes) -> None:
        self._said.update(sha256(line).digest())

    @property
    def digest(self) -> bytes:
        return self._line + self._said.digest()


class Sum:
    """The sum of conversations' digests. Equal sums tell that the rows are the same."""

    def __init__(self) -> None:
        self.conversations = 0
        self.total = 0

    def add(self, digest: bytes) -> None:
        self.conversations += 1
        self.total = (self.total + int.from_bytes(sha256(digest).digest())) % MODULUS

    def __eq__(self, other: object) -> bool:
        mine = (self.conversations, self.total)
        return isinstance(other, Sum) and mine == (other.conversations, other.total)

    __hash__ = None  # type: ignore[assignment]  # a mutable object has no hash


class Stored:
    """The rows of some people as they are stored now."""

    def __init__(
        self, connection: TenantConnection, tenant_id: UUID, seals: Mapping[UUID, Seal]
    ) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._seals = seals
        self._rows = StoredRows(connection, tenant_id, seals)

    async def differing(self, sums: Mapping[UUID, Sum]) -> set[UUID]:
        """Tell whose rows are not those of the sums.

        The server digests the messages, in a third of the time. Where it finds another digest, and
        where rows are sealed, they are read, and opened, before it is said that they differ.
        """
        if any(seal.key for seal in self._seals.values()):
            return _other(sums, await self.read())
        differing = _other(sums, await self.digested())
        return _other(sums, await self.read()) if differing else differing

    async def digested(self) -> dict[UUID, Sum]:
        rows = await self._connection.fetch(SAID, self._tenant_id, list(self._seals), TIME)
        said = {row["id"]: row["digest"] or NOTHING for row in rows}
        sums = {user_id: Sum() for user_id in self._seals}
        async for sessions in self._rows.sessions():
            for user_id, session in sessions:
                line = sha256(session_line(session)).digest()
                sums[user_id].add(line + said.get(session.id, NOTHING))
        return sums

    async def read(self) -> dict[UUID, Sum]:
        whose = dict[UUID, tuple[UUID, Conversation]]()
        async for sessions in self._rows.sessions():
            for user_id, session in sessions:
                whose[session.id] = user_id, Conversation(session_line(session))
        async for messages in self._rows.messages(BY_SESSION):
            for _, message in messages:
                whose[message.session_id][1].add(message_line(message))
        sums = {user_id: Sum() for user_id in self._seals}
        for user_id, conversation in whose.values():
            sums[user_id].add(conversation.digest)
        return sums


def _other(expected: Mapping[UUID, Sum], found: Mapping[UUID, Sum]) -> set[UUID]:
    return {user_id for user_id, total in expected.items() if found[user_id] != total}
