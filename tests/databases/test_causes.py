"""Every link of an exception's chain counts in telling the server's state from a bad request."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest
from advanced_alchemy.exceptions import IntegrityError as WrappedError
from sqlalchemy.exc import DBAPIError

from app.databases.causes import causes, is_away, sqlstate
from app.http.problems import to_problem
from tests.support.servers import Servers, run

Wrap = Callable[[Exception], Exception]
OF_THE_SERVER = [
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalServerError,
    asyncpg.InFailedSQLTransactionError,
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
]
OF_THE_REQUEST = [
    asyncpg.UniqueViolationError,
    asyncpg.CheckViolationError,
    asyncpg.StringDataRightTruncationError,
]

AS_A_SHARD = """
DO $$ BEGIN RAISE unique_violation USING MESSAGE =
    'duplicate key value violates unique constraint "idx_chat_sessions_external_id_102016"'; END $$
"""


def bare(error: Exception) -> Exception:
    return error


def from_the_dialect(error: Exception) -> Exception:
    """SQLAlchemy keeps the driver's error in `orig`, whose own cause is asyncpg's."""
    translated = Exception("translated")
    translated.__cause__ = error
    return DBAPIError("INSERT", {}, translated)


def from_a_repository(error: Exception) -> Exception:
    """Advanced Alchemy calls whatever went wrong an IntegrityError."""
    wrapped = WrappedError("An error occurred during database operation.")
    wrapped.__cause__ = from_the_dialect(error)
    return wrapped


def while_rolling_back(error: Exception) -> Exception:
    """A clean-up that fails, too, hides what it was for behind its own context."""
    later = RuntimeError("the session is closed")
    later.__context__ = from_the_dialect(error)
    return later


WRAPS = [bare, from_the_dialect, from_a_repository, while_rolling_back]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("kind", OF_THE_SERVER)
def test_the_servers_state_is_503_however_it_is_wrapped(kind: type[Exception], wrap: Wrap) -> None:
    error = wrap(kind("s3cret"))
    assert is_away(error)
    assert to_problem(error).status == 503


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_dead_connection_is_503_however_it_is_wrapped(wrap: Wrap) -> None:
    for dead in (asyncpg.InternalClientError("dead"), ConnectionResetError(), TimeoutError()):
        error = wrap(dead)
        assert is_away(error)
        assert to_problem(error).status == 503


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("kind", OF_THE_REQUEST)
def test_what_the_request_asked_for_is_no_outage(kind: type[Exception], wrap: Wrap) -> None:
    error = wrap(kind("s3cret"))
    assert not is_away(error)
    assert to_problem(error).status in (409, 422)


def test_an_exception_that_was_hidden_on_purpose_does_not_count() -> None:
    error = ValueError("another matter")
    error.__context__ = asyncpg.UniqueViolationError("s3cret")
    error.__suppress_context__ = True  # as `raise … from None` sets it
    assert causes(error) == [error]
    assert sqlstate(error) == (None, None)


@pytest.mark.parametrize("wrap", WRAPS)
async def test_a_constraint_is_known_by_the_name_that_a_shard_has_for_it(
    servers: Servers, wrap: Wrap
) -> None:
    """Citus tells it in no field of its own."""
    with pytest.raises(asyncpg.UniqueViolationError) as raised:
        await run(servers.general, AS_A_SHARD)
    assert raised.value.constraint_name is None
    error = wrap(raised.value)
    assert sqlstate(error) == ("23505", "idx_chat_sessions_external_id")
    assert "another conversation's of yours" in str(to_problem(error))
