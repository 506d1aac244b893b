"""What lies behind an exception: SQLSTATE, constraint, lost connection. Never its message.

Messages of the driver carry values, SQL and names of ours; types, codes and places do not.
"""

from __future__ import annotations

from typing import Any

from asyncpg import InterfaceError, InternalClientError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# Raised by check_write, and by the trigger owner_is_open.
LOOK_UP_TOO_OLD = "BC001"
OWNER_CLOSED = "BC002"


def sqlstate(error: BaseException) -> tuple[str | None, str | None]:
    """SQLSTATE and constraint name from anywhere in the chain of causes."""
    for cause in causes(error):
        state = getattr(cause, "sqlstate", None)
        if state:
            return state, getattr(cause, "constraint_name", None) or _constraint(cause)
    return None, None


def _constraint(error: BaseException) -> str | None:
    return next((n for c in causes(error) if (n := getattr(c, "constraint_name", None))), None)


def is_connection_loss(error: BaseException) -> bool:
    """No SQLSTATE: refused, reset, timed out, out of connections, or closed under us.

    InternalClientError is what asyncpg says of a connection it has seen fail but not yet closed.
    """
    if any(isinstance(c, OSError | TimeoutError | PoolTimeoutError) for c in causes(error)):
        return True
    return isinstance(error, DBAPIError | InterfaceError | InternalClientError)


def causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        step = getattr(step, "orig", None) or step.__cause__ or step.__context__
    return found


def describe(error: BaseException) -> dict[str, Any]:
    """What may be logged: types, SQLSTATE and places in the code, never a message or a value."""
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
