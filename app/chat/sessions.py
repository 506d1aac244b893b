"""The statements that find and open a session, each one round trip.

They call functions in app/databases/sql/general, which set the tenant themselves.
"""

from __future__ import annotations

from sqlalchemy import text

from app.databases.statement import Statement


def calling(function: str, *arguments: str, reads: bool = False) -> Statement:
    """Read a session from one of the functions in app/databases/sql/general: in one round trip."""
    values = ", ".join(f":{one}" for one in ("tenant_id", "user_id", "session_id", *arguments))
    return Statement(text(f"SELECT * FROM {function}({values})"), reads=reads)  # noqa: S608  # names of ours


NEW = (
    "title",
    "metadata",
    "tags",
    "external_id",
    "expires_at",
    "created_by",
    "sealed",
    "seal_key",
    "not_after",
)
FIND = calling("get_session", reads=True)
OPEN = calling("begin_session", *NEW)
FIND_OR_OPEN = calling("find_or_begin_session", *NEW, reads=True)
