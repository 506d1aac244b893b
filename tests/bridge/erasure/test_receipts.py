"""The chain of receipts: append-only in the database, and any tampering shows in an export."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from app.bridge.erasure.receipts import BrokenChainError, export, verify
from app.commands.erasure import receipts as commands
from tests.support.commands import litestar, urls
from tests.support.erasure_scene import Scene, Subject

Lines = list[bytes]


@pytest.fixture
async def lines(scene: Scene) -> Lines:
    """An export of five receipts."""
    await some_receipts(scene, 5)
    return [line async for line in export(scene.databases.general)]


async def some_receipts(scene: Scene, count: int) -> list[Subject]:
    subjects = [await scene.a_user(sessions=n % 3) for n in range(count)]
    for subject in subjects:
        await scene.delete(subject)
    while await scene.relay().run_once():
        pass
    return subjects


async def test_an_export_of_receipts_verifies(lines: Lines) -> None:
    chain = verify(lines)
    assert (chain.receipts, chain.head) == (5, json.loads(lines[-1])["hash"])
    assert verify(lines, must_contain=json.loads(lines[2])["hash"]) == chain
    assert verify([]).receipts == 0


@pytest.mark.parametrize("page", [1, 2, 5])
async def test_an_export_of_several_pages_is_the_same(
    scene: Scene, lines: Lines, page: int
) -> None:
    assert [line async for line in export(scene.databases.general, page)] == lines


async def test_a_receipts_hash_is_what_the_documentation_says(lines: Lines) -> None:
    """The test computes it by hand, from the line's own text."""
    one = json.loads(lines[1])
    members = "|".join(f"{name}={one[name]}" for name in sorted(one) if name != "hash")
    assert members.startswith("chat_sessions=1|finished_at=2")
    assert members.endswith("|v=2")
    preimage = f"bicameral-receipt-2|{members}"
    assert one["hash"] == hashlib.sha256(preimage.encode()).hexdigest()
    assert one["prev_hash"] == json.loads(lines[0])["hash"]


def changed(line: bytes, **values: Any) -> bytes:
    return json.dumps(json.loads(line) | values).encode()


def without(line: bytes, name: str) -> bytes:
    return json.dumps(
        {key: value for key, value in json.loads(line).items() if key != name}
    ).encode()


TAMPERING: dict[str, Callable[[Lines], Lines]] = {
    "a count changed": lambda good: [*good[:1], changed(good[1], messages=99), *good[2:]],
    "a user changed": lambda good: [*good[:4], changed(good[4], user_id="0" * 36)],
    "a time changed": lambda good: [changed(good[0], finished_at="2020-01-01T"), *good[1:]],
    "a kind changed": lambda good: [changed(good[0], kind="retention"), *good[1:]],
    "a cutoff added": lambda good: [changed(good[0], cutoff="2020-01-01T"), *good[1:]],
    "no version": lambda good: [without(good[0], "v"), *good[1:]],
    "a hash changed": lambda good: [*good[:4], changed(good[4], hash="0" * 64)],
    "the first removed": lambda good: good[1:],
    "one removed": lambda good: [*good[:2], *good[3:]],
    "one removed, renumbered": lambda good: [*good[:2], changed(good[3], seq=3)],
    "one inserted": lambda good: [*good[:2], good[2], *good[2:]],
    "two exchanged": lambda good: [good[0], good[2], good[1], *good[3:]],
    "no JSON": lambda good: [*good[:2], b"{", *good[2:]],
    "a field more": lambda good: [changed(good[0], note="hello"), *good[1:]],
}


@pytest.mark.parametrize("how", TAMPERING)
async def test_a_tampered_export_of_receipts_is_found(lines: Lines, how: str) -> None:
    with pytest.raises(BrokenChainError, match=r"^line \d"):
        verify(TAMPERING[how](lines))


async def test_a_chain_cut_off_is_found_by_an_earlier_head(lines: Lines) -> None:
    """The lines alone cannot tell: a shorter chain is a good chain."""
    assert verify(lines[:3]).receipts == 3
    with pytest.raises(BrokenChainError, match="cut off"):
        verify(lines[:3], must_contain=verify(lines).head)


async def test_a_changed_row_shows_in_the_next_export(scene: Scene, lines: Lines) -> None:
    """Even the administrator of the database, triggers off, cannot change one unseen."""
    await scene.general.execute("ALTER TABLE erasure_receipts DISABLE TRIGGER ALL")
    await scene.general.execute("UPDATE erasure_receipts SET messages = messages + 1 WHERE seq = 2")
    tampered = [line async for line in export(scene.databases.general)]
    with pytest.raises(BrokenChainError, match="line 2: was changed"):
        verify(tampered)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE erasure_receipts SET messages = 0",
        "DELETE FROM erasure_receipts",
        "TRUNCATE erasure_receipts",
        "DELETE FROM owners",
        "TRUNCATE owners CASCADE",
        "UPDATE owners SET state = 'open'",
        "UPDATE owners SET messages = messages - 1",
        "UPDATE owners SET user_id = gen_random_uuid()",
    ],
)
async def test_neither_receipts_nor_owners_go_back(scene: Scene, statement: str) -> None:
    await some_receipts(scene, 2)
    with pytest.raises(asyncpg.CheckViolationError):
        await scene.general.execute(statement)


async def test_a_receipt_needs_that_nothing_remains(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    await scene.delete(alice)
    assert await scene.relay(without="purge").run_once()
    assert await scene.receipts() == []
    entry = await scene.entry(alice)
    assert entry["last_error"] == "IntegrityError 23514"
    assert entry["delivered_rev"] < entry["rev"]


async def test_only_the_services_logins_may_write_receipts(scene: Scene) -> None:
    """The owner's own login would see one tenant's receipts and fork the chain."""
    (alice,) = await some_receipts(scene, 1)
    owner = await asyncpg.connect(scene.servers.general.url(scene.database, "bicameral_owner"))
    query = "SELECT * FROM append_receipt($1, $2)"
    try:
        with pytest.raises(asyncpg.InvalidTransactionStateError):
            await owner.fetch(query, alice.tenant_id, alice.user_id)
    finally:
        await owner.close()


async def test_twelve_erasures_at_once_make_one_chain(scene: Scene) -> None:
    subjects = [await scene.a_user() for _ in range(12)]
    for subject in subjects:
        await scene.delete(subject)
    await asyncio.gather(*(scene.relay().run_once() for _ in subjects))
    assert verify([line async for line in export(scene.databases.general)]).receipts == 12


def test_litestar_receipts_verify_checks_a_file(tmp_path: Path) -> None:
    file = tmp_path / "receipts.ndjson"
    file.write_bytes(b"")
    answer = CliRunner().invoke(commands, ["verify", str(file)])
    assert (answer.exit_code, answer.output[:10]) == (0, "0 receipts")
    file.write_bytes(b"nonsense\n")
    answer = CliRunner().invoke(commands, ["verify", str(file)])
    assert answer.exit_code == 1
    assert "line 1" in str(answer.exception)


async def test_litestar_receipts_export_says_how_many_and_where(
    scene: Scene, tmp_path: Path
) -> None:
    env = urls(scene.servers, scene.database)
    file = tmp_path / "receipts.ndjson"
    empty = await litestar("receipts", "export", str(file), env=env)
    assert (empty.code, empty.line) == (0, f"0 receipts written to {file}.")
    assert file.read_bytes() == b""
    await some_receipts(scene, 3)
    ended = await litestar("receipts", "export", str(file), env=env)
    assert ended.line == f"3 receipts written to {file}."
    assert verify(file.read_bytes().splitlines()).receipts == 3
    piped = await litestar("receipts", "export", env=env)
    assert piped.line == "3 receipts written to standard output."
    assert piped.out.encode() == file.read_bytes()


@pytest.mark.parametrize(
    ("file", "why"),
    [("/nonexistent/x", "No such file or directory"), ("/dev/full", "No space left on device")],
)
async def test_an_export_that_cannot_be_written_names_the_file(
    scene: Scene, file: str, why: str
) -> None:
    await some_receipts(scene, 1)
    env = urls(scene.servers, scene.database)
    ended = await litestar("receipts", "export", file, env=env)
    assert (ended.code, ended.line) == (1, f"bicameral: {file}: {why}")
