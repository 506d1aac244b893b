"""Says in a person's words what is wrong with a line of an export."""

from __future__ import annotations

import msgspec

from app.bridge.importing.lines import Message
from app.http.errors import BadRequest, Invalid
from app.http.words import explain

FAULTS = (msgspec.DecodeError, BadRequest, Invalid, UnicodeDecodeError)
KINDS = (
    "user, chat_session and message,"
    " with audit_event, login_address, hold, export, user_end and end"
)


def in_words(error: Exception) -> str:
    """Explain one of FAULTS."""
    match error:
        case Invalid():
            return error.one_line
        case msgspec.ValidationError():
            return _explained(str(error))
        case _:
            return "It is not JSON in UTF-8."


def _explained(text: str) -> str:
    if "`$.type`" in text or text.endswith("field `type`"):
        return f"It is of no known kind; lines are {KINDS}."
    fault = explain(text, Message)
    return f"{fault.path}: {fault.message}" if fault.path else fault.message
