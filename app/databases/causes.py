"""The causes of an exception: SQLSTATE, constraint, lost connection; nothing else of its message.

Messages of the driver carry values, SQL and names of ours; types, codes and places do not.
"""

from __future__ import annotations

import re
from errno import ETIMEDOUT
from typing import Any

from asyncpg import InterfaceError, InternalClientError, InvalidCachedStatementError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# Raised by check_write, and by the trigger owner_is_open.
LOOK_UP_TOO_OLD = "BC001"
OWNER_CLOSED = "BC002"
# Raised by check_overwrite, and by the trigger keep_owner_forward.
OWNER_HELD = "BC003"
# Raised by fork_session.
ENDS_BEFORE = "BC021"
TOO_MUCH_TO_FORK = "BC022"
# Raised by check_write_under, and by what a process without a key must not touch.
OTHER_KEY = "BC041"
IS_SEALED = "BC042"

READ_ONLY = "25006"
UNIQUE_VIOLATION = "23505"
# SQLSTATEs that tell of the server's state and say nothing about the statement: the connection
# fails, is in a transaction that failed, the server is read-only after a fail-over, refuses our
# login, has no such database or no connection left, stops, or has met an error of its own.
OF_THE_SERVER = ("08", "25006", "25P02", "28", "3D000", "53", "57P", "58", "XX000")
# Citus drops the field with the constraint's name. Its message has it, with the shard's number.
OF_A_SHARD = re.compile(r'"(\w+)_\d+"')
# The server's, too, but the connection is as good as before.
GIVEN_UP = ("40", "55", "57014")


def is_of_the_server(state: str) -> bool:
    """Tell whether a connection that reported this SQLSTATE leads nowhere and must be closed."""
    return state.startswith(OF_THE_SERVER)


def is_away(error: BaseException) -> bool:
    """Tell whether the database is to blame rather than what was asked: it may work later."""
    state = sqlstate(error)[0]
    return is_connection_loss(error) if state is None else is_of_the_server(state)


def is_passing(error: BaseException) -> bool:
    """Tell whether the same request may succeed later: away, or given up for another's sake."""
    state = sqlstate(error)[0]
    return is_away(error) or (state is not None and state.startswith(GIVEN_UP))


def may_ask_again(error: BaseException) -> bool:
    """Tell whether another connection may answer. A timeout of ours has been waited for already.

    ETIMEDOUT, which Python calls TimeoutError as well, is the kernel's: it gave up the connection.
    """
    timeouts = [link for link in causes(error) if isinstance(link, TimeoutError)]
    return is_away(error) and all(link.errno == ETIMEDOUT for link in timeouts)


def misleads(error: BaseException) -> bool:
    """Tell of a server that takes no writes, or of a schema that has changed.

    Every connection that is as old leads to the same server, or knows the same old schema.
    """
    links = causes(error)
    is_stale = any(isinstance(link, InvalidCachedStatementError) for link in links)
    return is_stale or sqlstate(error)[0] == READ_ONLY


def sqlstate(error: BaseException) -> tuple[str | None, str | None]:
    """Find SQLSTATE and constraint name, wherever in the chain of causes they are."""
    links = causes(error)
    state = next((s for link in links if (s := getattr(link, "sqlstate", None))), None)
    name = next((n for link in links if (n := getattr(link, "constraint_name", None))), None)
    if state == UNIQUE_VIOLATION and name is None:
        name = next((n for link in links if (n := _of_a_shard(link))), None)
    return state, name if state else None


def _of_a_shard(error: BaseException) -> str | None:
    found = OF_A_SHARD.search(str(getattr(error, "message", "")))
    return found[1] if found else None


def is_connection_loss(error: BaseException) -> bool:
    """Tell of a failure without SQLSTATE: refused, reset, timed out, or closed under us.

    Every link counts: SQLAlchemy and Advanced Alchemy wrap whatever went wrong, a dead connection
    in an IntegrityError, too. InternalClientError is what asyncpg says of a connection that it has
    seen fail but not yet closed.
    """
    return any(isinstance(link, LOSSES) for link in causes(error))


LOSSES = (
    OSError,
    TimeoutError,
    PoolTimeoutError,
    DBAPIError,
    InterfaceError,
    InternalClientError,
)


def causes(error: BaseException) -> list[BaseException]:
    """List the exception, and all that it was raised from or wraps, the nearest first."""
    found: list[BaseException] = []
    steps: list[BaseException | None] = [error]
    while steps:
        step = steps.pop(0)
        if step is not None and step not in found:
            found.append(step)
            context = None if step.__suppress_context__ else step.__context__
            steps += [getattr(step, "orig", None), step.__cause__, context]
    return found


def describe(error: BaseException) -> dict[str, Any]:
    """Return what may be logged: types, SQLSTATE, places in the code; no message, no value."""
    return {
        "error": " < ".join(type(cause).__name__ for cause in causes(error)),
        "sqlstate": sqlstate(error)[0],
        "where": _where(error),
    }


def _where(error: BaseException) -> str:
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return " > ".join(frames[-6:])
