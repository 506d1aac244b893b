"""Each line of the log, on standard error, is an object of JSON, or on a terminal a line to read.

Standard output is the commands'.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import structlog

from app.telemetry.context import current_request

Event = MutableMapping[str, Any]


def _name_type(value: Any) -> str:
    """Show only the type of what is no plain data: its own text might hold anything."""
    return type(value).__name__


encode = msgspec.json.Encoder(enc_hook=_name_type).encode


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


Format = Literal["json", "text"]
console: structlog.dev.ConsoleRenderer | None = None  # None: JSON


def use_format(chosen: Format | None) -> None:
    """Write every line in this format from here on; without one, as fits standard error."""
    global console
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    is_text = is_terminal if chosen is None else chosen == "text"
    colours = is_terminal and not os.environ.get("NO_COLOR")
    console = structlog.dev.ConsoleRenderer(colors=colours, sort_keys=False) if is_text else None


def render(logger: Any, level: str, event: Event) -> str:
    if console is None:
        return encode(event).decode()
    # As JSON would show it, so that neither format shows more than the other.
    plain = msgspec.to_builtins(event, enc_hook=_name_type)
    line = {name: _printable(value) for name, value in plain.items() if value is not None}
    time = event["timestamp"].astimezone()
    return str(console(logger, level, line | {"timestamp": f"{time:%H:%M:%S}"}))


def _printable(value: Any) -> Any:
    """Quote what a terminal would obey: somebody else may have written it."""
    return value if not isinstance(value, str) or value.isprintable() else repr(value)


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
