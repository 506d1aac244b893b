"""A command that takes long shows on a terminal, and there alone, how far it is."""

from __future__ import annotations

import pytest

from tests.support.commands import litestar, on_a_terminal, urls
from tests.support.servers import Servers

COMMANDS: dict[tuple[str, ...], str] = {
    ("audit", "export"): "Writing audit events",
    ("export",): "Exporting",
    ("import", "/dev/null"): "Importing",
    ("receipts", "export"): "Writing receipts",
    ("reconcile",): "━",
    ("retention", "--dry-run"): "Counting",
    ("retention",): "Sweeping tenants",
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
async def test_it_is_seen_on_a_terminal_and_in_no_file(
    servers: Servers, database: str, words: tuple[str, ...]
) -> None:
    env = urls(servers, database)
    ended, shown = await on_a_terminal(*words, env=env)
    assert ended.code == 0, shown
    assert COMMANDS[words] in shown
    piped = await litestar(*words, env=env)
    assert (piped.code, piped.out) == (0, ended.out)
    assert COMMANDS[words] not in piped.err
