"""A deleted user, as the routes tell of it: the ledger's entry is the request for erasure."""

from __future__ import annotations

from litestar import Response

from app.accounts import schemas
from app.accounts.models import SubjectLedger


def erasure(entry: SubjectLedger) -> schemas.Erasure:
    return schemas.Erasure(
        user_id=entry.user_id,
        tenant_id=entry.tenant_id,
        state="complete" if entry.delivered_rev >= entry.rev else "pending",
        requested_at=entry.changed_at,
        completed_at=entry.completed_at,
        chat_sessions=entry.chat_sessions,
        messages=entry.messages,
        receipt=entry.receipt,
        sealed=bool(entry.sealed),
        key_destroyed_at=entry.key_destroyed_at,
        unrecoverable_after=entry.unrecoverable_after,
    )


def accepted(entry: SubjectLedger) -> Response[schemas.Erasure]:
    location = {"Location": f"/v1/erasures/{entry.user_id}"}
    return Response(erasure(entry), status_code=202, headers=location)
