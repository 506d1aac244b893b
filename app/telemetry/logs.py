"""Each line of the log is an object of JSON on standard error; standard output is the commands'."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from app.telemetry.context import current_request

Event = MutableMapping[str, Any]


def _name_type(value: Any) -> str:
    """Show only the type of what is no plain data: its own text might hold anything."""
    return type(value).__name__


_encode = msgspec.json.Encoder(enc_hook=_name_type).encode


def add_context(_: Any, level: str, event: Event) -> Event:
    """Put time, level and request ahead of the event's own fields."""
    line = {"timestamp": datetime.now(UTC), "level": level, "event": event.pop("event")}
    request = current_request.get()
    if request is not None:
        line["request_id"] = request.request_id
        if request.trace_id is not None:
            line["trace_id"] = request.trace_id
    line.update(event)
    return line


def render(_: Any, __: str, event: Event) -> str:
    return _encode(event).decode()


class StandardError:
    """Writes to standard error as it is at that moment, for it may be redirected.

    A line that cannot be written is lost: a full disk must not end the service.
    """

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = exception = msg


PROCESSORS = [add_context, render]
LOGGER = structlog.make_filtering_bound_logger(logging.INFO)

# Bound at once: the lazy proxy that structlog hands out otherwise would bind at every event.
log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
    StandardError(), processors=PROCESSORS, wrapper_class=LOGGER
).bind()


class LibraryHandler(logging.Handler):
    """Writes what libraries log through `logging` as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        event: dict[str, Any] = {"event": record.getMessage(), "logger": record.name}
        if record.name == "asyncio":
            # The lines that follow show futures and exceptions, with all they hold.
            event["event"] = event["event"].partition("\n")[0]
        if record.exc_info and record.exc_info[0]:
            event["error"] = record.exc_info[0].__name__
        line = add_context(None, record.levelname.lower(), event)
        StandardError().msg(render(None, "", line))
