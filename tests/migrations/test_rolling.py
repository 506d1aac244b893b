"""A newer version migrates while this one serves: no request fails, and it goes on being ready."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from alembic import command

from app.commands.migrate import ROOT, head
from app.config.settings import Settings
from app.databases.connection import DATABASES, DatabaseName
from tests.support.factories import Someone, World
from tests.support.migrations import configured

REVISION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None

def upgrade():
    op.execute({statement!r})
"""
CONCURRENTLY = REVISION.replace(
    "    op.execute", "    with op.get_context().autocommit_block():\n        op.execute"
)
AGAIN = """
DO $$ BEGIN EXECUTE (
    SELECT string_agg(pg_get_functiondef(oid), ';') FROM pg_proc WHERE proname IN ({names}));
END $$
"""
TABLES = {"user": ("users", "access_tokens"), "general": ("chat_sessions", "messages")}
FUNCTIONS = {
    "user": "'authenticate', 'login_attempt'",
    "general": "'get_session', 'list_messages', 'begin_session', 'write_message'",
}
EXPAND = {
    name: [
        *(
            f"ALTER TABLE {one} ADD COLUMN mood text NOT NULL DEFAULT 'good'"
            for one in TABLES[name]
        ),
        "CREATE TABLE moods (id uuid PRIMARY KEY)",
        AGAIN.format(names=FUNCTIONS[name]),
        f"CREATE INDEX CONCURRENTLY idx_mood ON {TABLES[name][0]} (mood)",
    ]
    for name in DATABASES
}
CONTRACT = {
    "user": [*EXPAND["user"], "ALTER TABLE users RENAME COLUMN email TO address"],
    "general": EXPAND["general"],
}


@dataclass
class Client:
    """Somebody at work: every kind of route, again and again."""

    someone: Someone
    failed: list[str] = field(default_factory=list[str])
    rounds: int = 0

    async def work_until(self, done: asyncio.Event) -> None:
        while not done.is_set():
            await self.work()
        await self.work()

    async def work(self) -> None:
        created = await self.ask("POST", "/v1/chat-sessions", {"title": "Weather"})
        path = f"/v1/chat-sessions/{created.get('id')}"
        message = {"role": "user", "content": "Hello"}
        await self.ask("POST", f"{path}/messages", message)
        await self.ask("POST", f"{path}/messages/batch", {"messages": [message] * 2})
        for read in ("/v1/me", path, f"{path}/messages", "/v1/chat-sessions", "/v1/me/export"):
            await self.ask("GET", read)
        await self.ask("PATCH", path, {"title": "Climate"})
        self.rounds += 1

    async def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        response = await self.someone.http.request(method, path, json=body)
        if not response.is_success:
            self.failed.append(f"{method} {path}: {response.status_code}")
        is_json = response.headers["content-type"] == "application/json"
        return cast("dict[str, Any]", response.json()) if is_json else {}


def add_revisions(folder: Path, name: DatabaseName, statements: list[str]) -> None:
    """Add the revisions that a newer version brings along."""
    before = head(name)
    for number, statement in enumerate(statements):
        template = CONCURRENTLY if "CONCURRENTLY" in statement else REVISION
        revision = f"x{number}"
        source = template.format(revision=revision, before=before, statement=statement)
        (folder / f"{revision}.py").write_text(source)
        before = revision


def upgrade(settings: Settings, folder: Path, newer: dict[str, list[str]]) -> None:
    for name in DATABASES:
        added = folder / name
        added.mkdir()
        add_revisions(added, name, newer[name])
        config = configured(settings, name)
        places = f"{ROOT / 'migrations' / name}\n{added}"
        config.set_section_option(name, "version_locations", places)
        command.upgrade(config, "head")


async def under_load(
    world: World, settings: Settings, folder: Path, newer: dict[str, list[str]]
) -> list[Client]:
    clients = [Client(await world.member()) for _ in range(3)]
    for client in clients:
        await client.work()
    done = asyncio.Event()
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.work_until(done))
        await asyncio.to_thread(upgrade, settings, folder, newer)
        done.set()
    return clients


async def test_no_request_fails_while_the_schema_grows(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    clients = await under_load(world, settings, tmp_path, EXPAND)
    assert [client.failed for client in clients] == [[], [], []]
    assert min(client.rounds for client in clients) > 2
    ready = await world.nobody.get("/health/ready")
    assert ready.json()["migrations"] == {"user": "at head", "general": "at head"}


async def test_a_column_taken_away_too_soon_is_noticed(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    """The control of the test above: what this version uses may not go."""
    clients = await under_load(world, settings, tmp_path, CONTRACT)
    assert any("/v1/me:" in failure for client in clients for failure in client.failed)
