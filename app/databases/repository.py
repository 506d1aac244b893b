"""The base of every repository: Advanced Alchemy's, without what it does unasked.

By itself it wraps each error of the driver in one that has neither SQLSTATE nor constraint for
problems.py, and reads every new row back. Of its methods two are left alone: `delete_where`, which
on asyncpg selects the rows before it deletes them, and `list`, which is `get_many`, deprecated.
"""

from __future__ import annotations

from typing import Any

from advanced_alchemy.repository import ModelT, SQLAlchemyAsyncRepository
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session


class Repository(SQLAlchemyAsyncRepository[ModelT]):
    """A repository fetches and changes the rows of one table, in the caller's transaction."""

    def __init__(
        self, session: AsyncSession | async_scoped_session[AsyncSession], **options: Any
    ) -> None:
        options |= {"wrap_exceptions": False, "auto_refresh": False, "auto_commit": False}
        super().__init__(session=session, **options)
