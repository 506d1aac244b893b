"""A running service, a folder with the document that it publishes, and somebody who calls it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from app.config.settings import Settings
from tests.support.factories import World
from tests.support.tours import Tour
from tests.support.wire import serving


@pytest.fixture
async def address(app: Litestar, settings: Settings) -> AsyncGenerator[str]:
    async with serving(app, settings) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def folder(address: str, tmp_path: Path) -> Path:
    """It holds `openapi.json`, as anybody can fetch it."""
    async with httpx.AsyncClient(base_url=address) as http:
        document = await http.get("/schema/openapi.json")
    (tmp_path / "openapi.json").write_bytes(document.content)
    return tmp_path


@pytest.fixture
async def tour(folder: Path, address: str, world: World) -> Tour:
    return Tour(folder, address, (await world.member()).username)


@pytest.fixture
async def variables(address: str, world: World) -> dict[str, str]:
    """They are what a client is told: where the service is, and a person's token."""
    token = await world.log_in((await world.member()).username)
    return {"BASE": address, "TOKEN": token}
