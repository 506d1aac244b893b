"""This makes OpenTelemetry's spans. It is imported only where traces are on: the extra `otel`.

A request's is named by method and route template, a statement's by operation and table. Neither
holds a path, a value or an exception's message.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Awaitable, Generator, Iterable
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from opentelemetry import propagate
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, format_span_id, format_trace_id

from app.config.settings import SettingsError
from app.telemetry.context import RequestContext

T = TypeVar("T")
SERVER_ERROR = 500
CLOSE_SECONDS = 2.0
# What a statement with a WITH writes is what it is for; else what it reads.
WRITES = re.compile(r"\b(INSERT) INTO (\w+)|\b(UPDATE) (\w+)|\b(DELETE) FROM (\w+)")
READS = re.compile(r"\b(SELECT)\b(?:.*?\bFROM\s+(\w+)|\s+(\w+)\()", re.DOTALL)


class Spans:
    """Makes and exports the spans of one process."""

    def __init__(self, processors: Iterable[SpanProcessor]) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        for processor in processors:
            self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("bicameral")

    @classmethod
    def exported_by(cls, names: Iterable[str]) -> Spans:
        """Export in a thread for each name. Raises SettingsError for one that is not installed."""
        return cls([BatchSpanProcessor(_exporter(name)) for name in names])

    def close(self) -> None:
        """Send what has ended before the process ends. Blocks for a moment at most.

        OpenTelemetry itself would hold up the stop by ten seconds while the collector is away.
        """
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    async def around_request(
        self, request: RequestContext, scope: Any, answered: Awaitable[None]
    ) -> None:
        with self.of_request(request, scope):
            await answered

    @contextmanager
    def of_request(self, request: RequestContext, scope: Any) -> Generator[None]:
        """Make a child of the caller's span, if there is one; the request gets the span's ids."""
        carrier = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        with self._tracer.start_as_current_span(
            scope["method"],
            propagate.extract(carrier),
            SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            ids = span.get_span_context()
            request.trace_id = format_trace_id(ids.trace_id)
            request.span_id = format_span_id(ids.span_id)
            request.trace_flags = f"{ids.trace_flags:02x}"
            try:
                yield
            finally:
                _describe(span, request, scope)

    async def of_statement(self, database: str, query: str, exchange: Awaitable[T]) -> T:
        operation, target = statement_name(query)
        attributes = {"db.system.name": "postgresql", "db.namespace": database}
        attributes |= {"db.operation.name": operation, "db.collection.name": target}
        with self._tracer.start_as_current_span(
            f"{operation} {target}".rstrip(),
            kind=SpanKind.CLIENT,
            attributes={name: value for name, value in attributes.items() if value},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await exchange
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise


def _describe(span: Span, request: RequestContext, scope: Any) -> None:
    """Name the span at its end: routing is part of what was timed."""
    method, route = scope["method"], scope.get("path_template", "")
    span.update_name(f"{method} {route}".rstrip())
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.response.status_code", request.status)
    span.set_attribute("bicameral.request_id", request.request_id)
    if route:
        span.set_attribute("http.route", route)
    if request.status >= SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def statement_name(query: str) -> tuple[str, str]:
    """Return operation and table or function; of BEGIN and SET, which name a tenant, one word."""
    if query.startswith(("BEGIN", "SET", "COMMIT", "ROLLBACK")):
        return query.split(None, 1)[0].rstrip(";"), ""
    return _parsed(query)


@lru_cache(1024)
def _parsed(query: str) -> tuple[str, str]:
    found = WRITES.search(query) or READS.search(query)
    if found is None:
        return query.split(None, 1)[0].rstrip(";") if query.strip() else "", ""
    operation, target = (part for part in found.groups() if part)
    return operation, target


def _resource() -> Resource:
    """Return the environment's resource; a service without a name is called bicameral."""
    resource = Resource.create()
    name = str(resource.attributes[SERVICE_NAME])
    return resource.merge(Resource({SERVICE_NAME: "bicameral"})) if "unknown" in name else resource


def _exporter(name: str) -> Any:
    """Find an exporter by the entry points with which OpenTelemetry's packages announce it."""
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
        )
        name = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}.get(protocol, name)
    found = list(entry_points(group="opentelemetry_traces_exporter", name=name))
    if not found:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: no exporter {name} is installed")
    return found[0].load()()
