"""The document that the service gives of itself, asked for once: no test changes it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.operations import unconnected


@pytest.fixture(scope="session")
async def document() -> dict[str, Any]:
    transport = httpx.ASGITransport(app=unconnected())  # pyright: ignore[reportArgumentType]  # ASGI is ASGI
    async with httpx.AsyncClient(transport=transport, base_url="http://bicameral") as client:
        response = await client.get("/schema/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found
