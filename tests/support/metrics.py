"""Reading the metrics as Prometheus does, and a bit of everything for them to show."""

from __future__ import annotations

import asyncio
import re
import time
from typing import NamedTuple
from uuid import uuid4

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.factories import World, a_message, a_session

PATIENCE_SECONDS = 20
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}|\d{4,}|[0-9a-f]{16}")


class Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


async def scrape(http: httpx.AsyncClient, url: str = "/metrics") -> list[Sample]:
    """Figures made from now on: those of the last second are shared among all who ask."""
    asked_at = time.time()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await http.get(url)
            assert answer.status_code == 200
            families = text_string_to_metric_families(answer.text)
            samples = [
                Sample(s.name, s.labels, s.value) for family in families for s in family.samples
            ]
            if value(samples, "bicameral_metrics_timestamp_seconds") >= asked_at:
                return samples


def value(samples: list[Sample], name: str, **labels: str) -> float:
    """Sum all samples that have these labels."""
    found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
    return sum(found)


async def exercise(world: World) -> None:
    """Do a bit of everything, so that each metric has something to show."""
    alice, boss = await world.member(), await world.tenant_admin()
    session = await a_session(alice)
    await a_message(alice, session["id"])
    await alice.http.get(f"/v1/chat-sessions/{session['id']}/messages")
    await alice.http.get(f"/v1/chat-sessions/{uuid4()}")
    await alice.http.get("/v1/me/export")
    await boss.http.delete(f"/v1/users/{alice.id}")
    await boss.http.get(f"/v1/erasures/{alice.id}")
    for path in (f"/{uuid4()}", "/v1/users/123456789", "/schema", "/schema/static/nothing.js"):
        await world.nobody.get(path)
    await world.nobody.request("BREW", "/v1/me")
    login = {"username": alice.username, "password": "not the password at all"}
    await world.nobody.post("/v1/auth/login", json=login)
