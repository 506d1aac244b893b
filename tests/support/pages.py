"""Walks through a list, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import httpx


async def items(
    http: httpx.AsyncClient, path: str, *, limit: int = 2, **query: Any
) -> AsyncGenerator[dict[str, Any]]:
    """Yield what is there, in the list's order."""
    while True:
        answer = await http.get(path, params={"limit": limit, **query})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for item in page["items"]:
            yield item
        if page["next"] is None:
            return
        query["after"] = page["next"]
