"""One chain has receipts of before, and those whose hash is of every member of their line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.bridge.erasure.receipts import BrokenChainError, ReceiptLine1, export, verify
from app.bridge.reconcile.differences import Key
from app.bridge.reconcile.readings import Readings
from tests.support.erasure_scene import Scene
from tests.support.servers import ROOT

# append_receipt as it was before version 2, for an owner without counts.
APPENDED_BEFORE = """
INSERT INTO erasure_receipts (tenant_id, user_id, seq, chat_sessions, messages, remaining,
                              finished_at, prev_hash, hash)
SELECT $1, $2, $3, 2, 4, 0, $4::text::timestamptz, $5::varchar, encode(sha256(convert_to(
    concat_ws('|', 'bicameral-receipt-1', $3::bigint, $1::uuid, $2::uuid, 2, 4, $4::text,
              $5::varchar), 'UTF8')), 'hex')
"""
# Lines as the program of before wrote them, byte for byte.
TENANT, FIRST, SECOND = (f"0193e5a0-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
BEFORE = [
    (
        b'{"seq":1,"tenant_id":"0193e5a0-0000-7000-8000-000000000001",'
        b'"user_id":"0193e5a0-0000-7000-8000-000000000002","chat_sessions":2,"messages":4,'
        b'"finished_at":"2026-11-22T09:30:00.000000Z",'
        b'"prev_hash":"0000000000000000000000000000000000000000000000000000000000000000",'
        b'"hash":"88504ce91ec49b1c1172293bd3b7ddd8177725d53db86e1464e6b23940edb1c8"}\n'
    ),
    (
        b'{"seq":2,"tenant_id":"0193e5a0-0000-7000-8000-000000000001",'
        b'"user_id":"0193e5a0-0000-7000-8000-000000000003","chat_sessions":2,"messages":4,'
        b'"finished_at":"2026-11-22T09:30:00.000000Z",'
        b'"prev_hash":"88504ce91ec49b1c1172293bd3b7ddd8177725d53db86e1464e6b23940edb1c8",'
        b'"hash":"48dca773cac69fc4392823500b980338fe997f59971b603dace2b82fdeb8b4c6"}\n'
    ),
]


async def a_chain_of_both(scene: Scene) -> list[bytes]:
    for line in map(json.loads, BEFORE):
        await scene.general.execute(
            APPENDED_BEFORE,
            *(line["tenant_id"], line["user_id"], line["seq"]),
            *(line["finished_at"], line["prev_hash"]),
        )
    alice = await scene.a_user(sessions=1)
    await scene.delete(alice)
    assert await scene.relay().run_once()
    return [line async for line in export(scene.databases.general)]


async def test_receipts_of_before_stay_byte_for_byte_and_new_ones_follow(scene: Scene) -> None:
    lines = await a_chain_of_both(scene)
    assert lines[:2] == BEFORE
    assert lines[2].startswith(b'{"v":2,"seq":3,"kind":"erasure",')
    assert verify(lines).receipts == 3
    assert await Readings(scene.databases).broken_receipts() == set()


@pytest.mark.parametrize("change", ["v = 1", "messages = 9", "kind = 'retention', cutoff = now()"])
async def test_reconcile_finds_a_changed_receipt_of_either_version(
    scene: Scene, change: str
) -> None:
    await a_chain_of_both(scene)
    await scene.general.execute("ALTER TABLE erasure_receipts DISABLE TRIGGER ALL")
    for seq in (1, 3):
        await scene.general.execute(f"UPDATE erasure_receipts SET {change} WHERE seq = $1", seq)
    found = {one.thing for one in await Readings(scene.databases).broken_receipts()}
    assert found == {"receipt 3"} | (set() if change == "v = 1" else {"receipt 1"})


async def test_the_program_of_before_stops_at_a_receipt_of_version_2_and_names_it(
    scene: Scene,
) -> None:
    """Its line had the members of version 1, and none that it did not know."""
    lines = await a_chain_of_both(scene)
    assert msgspec.json.decode(lines[1], type=ReceiptLine1).seq == 2
    with pytest.raises(msgspec.ValidationError, match="unknown field `v`"):
        msgspec.json.decode(lines[2], type=ReceiptLine1)


def changed(line: bytes, **values: Any) -> bytes:
    return json.dumps(json.loads(line) | values).encode()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"v": 3, "news": True}, "line 2: a receipt of version 3; this program knows 1 and 2"),
        ({"v": 0}, "line 2: a receipt of version 0"),
        ({"v": 1}, "line 2: no receipt"),
        ({"v": "2"}, "line 2: no receipt"),
        ({"kind": "retention"}, "line 2: no receipt"),
        ({"cutoff": "2026-11-22T09:30:00.000000Z"}, "line 2: no receipt"),
    ],
)
def test_a_line_of_another_version_is_not_guessed_at(values: dict[str, Any], why: str) -> None:
    with pytest.raises(BrokenChainError, match=why):
        verify([BEFORE[0], changed(BEFORE[1], **values)])


async def test_a_text_of_version_2_cannot_stand_for_two_members(scene: Scene) -> None:
    lines = await a_chain_of_both(scene)
    split = changed(lines[2], user_id=f"{FIRST}|v=2")
    with pytest.raises(BrokenChainError, match="line 3: no receipt"):
        verify([*lines[:2], split])


RETENTION = """
INSERT INTO erasure_receipts SELECT * FROM link_receipt(jsonb_build_object(
    'tenant_id', $1::uuid, 'user_id', $2::uuid, 'kind', 'retention', 'cutoff', now(),
    'chat_sessions', 1, 'messages', 2, 'remaining', 0))
"""


async def test_a_receipt_of_retention_is_about_no_owner(scene: Scene) -> None:
    """Reconcile asks of whom there is a receipt and no erased owner; this one is of no person."""
    await scene.general.execute(RETENTION, TENANT, SECOND)
    readings, key = Readings(scene.databases), Key(UUID(TENANT), UUID(SECOND))
    assert key not in [one async for page in readings.suspects() for one in page]
    assert await readings.differences([key]) == {}
    assert verify([line async for line in export(scene.databases.general)]).receipts == 1


async def test_the_pages_program_checks_a_chain_of_both(scene: Scene, tmp_path: Path) -> None:
    page = (ROOT / "app" / "bridge" / "README.md").read_text()
    program = page.split("## How a receipt is checked")[1].split("```python")[1].split("```")[0]
    lines = await a_chain_of_both(scene)
    assert ended(program, lines, tmp_path) == ""
    tampered = [*lines[:2], changed(lines[2], messages=9) + b"\n"]
    assert "AssertionError: line 3: was changed" in ended(program, tampered, tmp_path)


def ended(program: str, lines: list[bytes], folder: Path) -> str:
    (folder / "receipts.ndjson").write_bytes(b"".join(lines))
    python = [sys.executable, "-c", program]
    return subprocess.run(python, cwd=folder, capture_output=True, text=True, check=False).stderr
