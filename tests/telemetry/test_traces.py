"""Spans have the right parent and name and hold no secret; and off is off."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from app.bridge.erasure.relay import Relay
from app.config.settings import SettingsError
from app.telemetry import traces
from app.telemetry.requests import observe_requests
from app.telemetry.spans import Spans, statement_name
from tests.support.factories import World, a_message, a_session
from tests.support.log_lines import as_it_is, events
from tests.support.metrics import ID
from tests.support.servers import Servers, run
from tests.support.traceparent import PARENT, TRACE, TRACEPARENT

VARIABLES = ("OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED", *traces.ENDPOINTS)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Traces are on, and what would be sent is kept."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(traces, "spans", Spans([SimpleSpanProcessor(exporter)]))
    return exporter


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment says nothing of traces, and nothing stays on after a test."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(traces, "spans", traces.spans)
    return monkeypatch


def ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


async def test_a_request_is_a_span_and_its_statements_are_children(
    exported: InMemorySpanExporter, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    alice = await world.member()
    session = await a_session(alice)
    await a_message(alice, session["id"], "a distinctive message text")
    url = f"/v1/chat-sessions/{session['id']}/messages"
    exported.clear()
    capfd.readouterr()
    answer = await alice.http.get(url, headers={"traceparent": TRACEPARENT})
    [line] = events(capfd.readouterr().err, "request")
    *children, request = exported.get_finished_spans()
    assert request.name == "GET /v1/chat-sessions/{session_id}/messages"
    assert request.kind is SpanKind.SERVER
    assert request.parent is not None
    assert (ids(request)[0], f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert line["trace_id"] == TRACE
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{ids(request)[1]}-01"
    names = {child.name for child in children}
    assert {"SELECT caller_of_token", "SELECT list_messages"} <= names
    assert len(children) == line["round_trips"]
    assert {f"{c.parent.span_id:016x}" for c in children if c.parent} == {ids(request)[1]}
    databases = {str((child.attributes or {})["db.namespace"]) for child in children}
    assert databases == {"user", "general"}


async def test_statements_outside_a_request_make_no_trace(
    exported: InMemorySpanExporter, world: World
) -> None:
    """A relay looks every second."""
    exported.clear()
    await Relay(world.databases, world.app.state.settings).run_once()
    assert not exported.get_finished_spans()


async def test_no_span_holds_a_value(
    exported: InMemorySpanExporter, world: World, servers: Servers, database: str
) -> None:
    alice = await world.member()
    session = await a_session(alice, "a distinctive message text")
    await a_message(alice, session["id"], "a distinctive message text")
    await run(servers.general, "ALTER TABLE messages RENAME TO gone", database)
    body = {"role": "user", "content": "a distinctive message text"}
    url = f"/v1/chat-sessions/{session['id']}/messages"
    assert (await alice.http.post(url, json=body)).status_code == 500
    await alice.http.get(f"/nowhere/{alice.id}")
    spans = exported.get_finished_spans()
    failed = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert {span.kind for span in failed} == {SpanKind.SERVER, SpanKind.CLIENT}
    for span in spans:
        assert (len(span.events), span.status.description) == (0, None)
        shown = dict(span.attributes or {})
        shown.pop("bicameral.request_id", None)
        text = f"{span.name} {shown}"
        assert not ID.search(text), text
        assert "distinctive" not in text
        assert alice.username not in text


async def test_no_span_of_a_failed_request_holds_a_value(
    exported: InMemorySpanExporter,
) -> None:
    async def app(*_: Any) -> None:
        raise RuntimeError("a distinctive message text")

    scope: Any = {"type": "http", "method": "GET", "headers": []}
    nothing: Any = None
    with pytest.raises(RuntimeError):
        await observe_requests(app, as_it_is)(scope, nothing, nothing)
    [span] = exported.get_finished_spans()
    assert (len(span.events), span.status.description) == (0, None)
    assert span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("SELECT * FROM authenticate($1, $2)", "SELECT authenticate"),
        ("SELECT login_succeeded($1)", "SELECT login_succeeded"),
        ("SELECT a.id \nFROM chat_sessions AS a WHERE x = 'secret'", "SELECT chat_sessions"),
        ("WITH o AS (SELECT 1 FROM owners) INSERT INTO messages SELECT", "INSERT messages"),
        ("UPDATE users SET email = 'secret'", "UPDATE users"),
        ("DELETE FROM access_tokens WHERE digest = 'secret'", "DELETE access_tokens"),
        ("BEGIN; SET LOCAL app.tenant_id = 'secret';", "BEGIN"),
        ("SET LOCAL app.tenant_id = 'secret'", "SET"),
        ("COMMIT;", "COMMIT"),
        ("SELECT 'secret'", "SELECT"),
        ("LISTEN bicameral_erasures", "LISTEN"),
        (";", ""),
    ],
)
def test_a_statement_is_named_by_operation_and_table(query: str, name: str) -> None:
    assert " ".join(statement_name(query)).strip() == name


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp", "console"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "TRUE"}, []),
    ],
)
def test_opentelemetrys_variables_turn_traces_on(
    variables: dict[str, str], found: list[str]
) -> None:
    assert traces.exporters(variables) == found


def test_an_exporter_that_is_not_there_stops_the_start(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_TRACES_EXPORTER", "pigeon")
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER: no exporter pigeon"):
        traces.configure_traces()


def test_without_the_extra_the_start_says_what_to_install(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_TRACES_EXPORTER", "console")
    environment.delitem(sys.modules, "app.telemetry.spans")
    environment.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match="install the extra `otel`"):
        traces.configure_traces()


def test_traces_that_are_off_import_nothing() -> None:
    script = """
import sys
from app.server import create_app
from app.config.settings import Settings
urls = {f"database_url_{name}": f"postgresql:///{name}" for name in ("user", "general")}
create_app(Settings.model_validate(urls))
sys.exit("opentelemetry.sdk" in sys.modules or "app.telemetry.spans" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def test_traces_reach_a_collector(
    environment: pytest.MonkeyPatch, client: httpx.AsyncClient
) -> None:
    """They go over OTLP, as the environment says, under the service's name."""
    async with collector() as (address, received):
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        traces.configure_traces()
        await client.get("/health/live")
        async with asyncio.timeout(30):
            await asyncio.to_thread(traces.close_traces)
            path, body = await received.get()
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    named = {one.key: one.value.string_value for one in resource.resource.attributes}
    [span] = resource.scope_spans[0].spans
    assert (path, named["service.name"], span.name) == (
        "/v1/traces",
        "bicameral",
        "GET /health/live",
    )


def test_a_collector_that_is_away_does_not_hold_up_the_stop() -> None:
    """OpenTelemetry itself would wait for it."""
    may_end = threading.Event()

    class Patient(SpanProcessor):
        def shutdown(self) -> None:
            may_end.wait()

    Spans([Patient()]).close()
    assert not may_end.is_set()
    may_end.set()


@asynccontextmanager
async def collector() -> AsyncGenerator[tuple[str, asyncio.Queue[tuple[str, bytes]]]]:
    """Speak as much HTTP as it takes to be given a batch."""
    received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        await received.put((head.split()[1], await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received
