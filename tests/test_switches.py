"""A run is in the state that it is said to be in, which its other results would not tell."""

from __future__ import annotations

import os

import asyncpg
import pytest

from app.config.settings import Settings
from tests.support import commands, service, switches
from tests.support.factories import World
from tests.support.sealed import MARK, SESSIONS, asked, found
from tests.support.servers import Servers

IS_SEALED = os.environ.get("BICAMERAL_TESTS_SEALED") == "1"
WORDS = {
    *("chat_sessions.title", "chat_sessions.metadata"),
    *("messages.content", "messages.parts", "messages.metadata"),
    "general_idempotency_keys.answer",
}
SEALED = """
SELECT (SELECT count(sealed) FROM chat_sessions), (SELECT count(sealed) FROM messages),
    (SELECT count(sealed) FROM general_idempotency_keys)
"""


async def test_the_database_has_words_or_none_as_the_run_is_said_to_be(
    world: World, servers: Servers, database: str
) -> None:
    """A suite that silently runs plain fails here, as does one that silently seals."""
    alice = await world.member()
    key, metadata = {"Idempotency-Key": "once"}, {"of": MARK}
    made = await asked(alice, "POST", SESSIONS, {"title": MARK, "metadata": metadata}, headers=key)
    parts = [{"type": "text", "text": MARK}, {"type": "own", "of": MARK}]
    for content in (MARK, parts):
        message = {"role": "user", "content": content, "metadata": metadata}
        await asked(alice, "POST", f"{SESSIONS}/{made['id']}/messages", message)
    general = await asyncpg.connect(servers.general.url(database))
    try:
        assert set(await found(general, MARK)) == (set() if IS_SEALED else WORDS)
        assert tuple(await general.fetchrow(SEALED) or ()) == (
            (1, 2, 1) if IS_SEALED else (0, 0, 0)
        )
    finally:
        await general.close()


def test_every_process_of_the_run_is_in_this_state(
    servers: Servers, database: str, settings: Settings
) -> None:
    assert (settings.seal_keys is not None) == IS_SEALED
    assert ("SEAL_KEYS" in service.environment(settings)) == IS_SEALED
    assert ("SEAL_KEYS" in commands.urls(servers, database)) == IS_SEALED
    assert ("what the services store is sealed" in switches.states()) == IS_SEALED


@pytest.mark.parametrize("name", switches.STATES)
@pytest.mark.parametrize(("value", "is_on"), [("1", True), ("0", False), ("", False)])
def test_a_switch_is_on_or_off(
    name: str, value: str, is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert switches.is_on(name) == is_on


@pytest.mark.parametrize("name", switches.STATES)
def test_a_switch_that_is_misspelt_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "true")
    with pytest.raises(ValueError, match=f"{name} is 1, 0 or nothing, and not 'true'"):
        switches.is_on(name)
