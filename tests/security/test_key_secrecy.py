"""An API key is with its bearer, and nowhere else: nothing that shows or stores it has its text."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.accounts.tokens import token_digest
from app.telemetry import traces
from app.telemetry.spans import Spans
from tests.support.api_keys import Backend, a_backend
from tests.support.factories import Someone, World, a_session
from tests.support.metrics import scrape
from tests.support.servers import Servers

TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
)
ROWS = "SELECT string_agg(to_jsonb(t)::text, ' ') FROM {} t"
ERROR = {"role": "oracle", "content": "Nowhere."}


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Traces are on, and what would be sent is kept."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(traces, "spans", Spans([SimpleSpanProcessor(exporter)]))
    return exporter


async def test_a_key_is_in_no_log_list_row_metric_or_trace(
    world: World,
    servers: Servers,
    database: str,
    exported: InMemorySpanExporter,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nor is its digest, but for the one column."""
    boss, alice = await world.tenant_admin(), await world.member()
    backend = await a_backend(world, boss)
    answers = [text async for text in _used(backend, boss, alice)]
    seen = {
        "answers": " ".join(answers),
        "metrics": str(await scrape(world.nobody)),
        "traces": " ".join(span.to_json() for span in exported.get_finished_spans()),
        "log": capfd.readouterr().err,
        "rows": await _rows(servers, database),
    }
    for place, text in seen.items():
        assert text, place
        assert backend.key not in text, place
        assert backend.key[8:30] not in text, place
    digest = token_digest(backend.key).hex()
    assert seen["rows"].count(digest) == 1
    assert not [place for place, text in seen.items() if place != "rows" and digest in text]


async def _used(backend: Backend, boss: Someone, alice: Someone) -> AsyncIterator[str]:
    """Use it well and wrongly, and read all that an administrator may read of it."""
    session = (await a_session(alice))["id"]
    acting = backend.acting_for(alice.id)
    wrong = backend.acting_for("nobody at all")
    for method, path, client, body in (
        ("GET", "/v1/me", acting, None),
        ("GET", "/v1/me", wrong, None),
        ("POST", f"/v1/chat-sessions/{session}/messages", acting, ERROR),
        ("POST", "/v1/api-keys", backend.http, {"name": "x", "scopes": ["export"]}),
        ("GET", "/v1/me/export", acting, None),
        ("POST", f"/v1/users/{alice.id}/block", backend.http, None),
        ("GET", "/v1/api-keys", boss.http, None),
        ("GET", f"/v1/api-keys/{backend.id}", boss.http, None),
        ("GET", "/v1/audit-events", boss.http, None),
    ):
        yield (await client.request(method, path, json=body)).text


async def _rows(servers: Servers, database: str) -> str:
    found: list[str] = []
    for server in servers:
        connection = await asyncpg.connect(server.url(database))
        for (table,) in await connection.fetch(TABLES):
            found.append(await connection.fetchval(ROWS.format(table)) or "")
        await connection.close()
    return " ".join(found)
