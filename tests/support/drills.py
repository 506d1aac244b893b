"""Drills of restored copies: people say words before, and tests look for them afterwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx

from app.config.settings import Settings
from app.server import create_app
from tests.support.factories import Someone
from tests.support.sealed import SESSIONS
from tests.support.servers import alive


async def say(someone: Someone, mark: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    new = {"title": mark, "metadata": {"of": mark}}
    made = await someone.http.post(SESSIONS, json=new, headers=key)
    path = f"{SESSIONS}/{made.json()['id']}/messages"
    parts = [{"type": "text", "text": mark}, {"type": "own", "of": mark}]
    for content in (mark, parts):
        message = {"role": "user", "content": content, "metadata": {"of": mark}}
        assert (await someone.http.post(path, json=message)).status_code == 201


async def everything(general: asyncpg.Connection) -> str:
    tables = ("chat_sessions", "messages", "general_idempotency_keys")
    rows = [await general.fetch(f"SELECT CAST(t AS text) FROM {table} t") for table in tables]
    return str(rows)


async def answered(someone: Someone, settings: Settings, path: str) -> httpx.Response:
    """Ask a service on the restored copy as somebody."""
    service = create_app(settings)
    transport = httpx.ASGITransport(app=service)  # pyright: ignore[reportArgumentType]  # ASGI is ASGI
    async with alive(service), httpx.AsyncClient(transport=transport, base_url="http://b") as http:
        return await http.get(path, headers=someone.http.headers)


def files_with(marks: Sequence[str], *folders: Path) -> list[str]:
    """List the files that hold one of them, as `strings` would find it."""
    files = [file for folder in folders for file in folder.rglob("*")]
    wanted = re.compile(b"|".join(mark.encode() for mark in marks))
    return [file.name for file in files if wanted.search(_bytes(file))]


def _bytes(file: Path) -> bytes:
    """Read a file; a running server may have removed it."""
    with suppress(OSError):
        return file.read_bytes()
    return b""
