"""Legal holds, as the user database keeps them: the general one has a bare flag."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, String, func
from sqlalchemy.orm import Mapped, mapped_column

from app.databases.bases import UserBase


class Hold(UserBase):
    """Somebody whose account, and what they said, stays until the hold is lifted.

    It restricts: neither the user nor their tenant can be deleted. `in_force_since` is None until a
    relay has set the general database's flag, and waited for what was under way there.
    """

    __tablename__ = "holds"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_holds_user_id_users",
            ondelete="RESTRICT",
        ),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(String(1000))
    placed_by: Mapped[UUID | None]
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    in_force_since: Mapped[datetime | None]
