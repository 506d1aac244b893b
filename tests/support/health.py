"""Asking for the health of now: a look at the databases is shared for a second."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx

PATIENCE_SECONDS = 20


async def fresh(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """The first answer whose look at the databases began after this was called."""
    asked_at = datetime.now(UTC)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await client.get(path)
            if datetime.fromisoformat(answer.json()["timestamp"]) >= asked_at:
                return answer
