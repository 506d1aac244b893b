"""A chain that was cut off, or forked by a restore, is compared with an earlier export of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import msgspec
from click.testing import CliRunner, Result

from app.bridge.erasure.receipts import FIRST_PREV_HASH, ReceiptLine1, ReceiptLine2, export, hash_of
from app.commands.erasure import receipts as commands
from tests.support.differences import erased, repaired
from tests.support.erasure_scene import Scene
from tests.support.restores import back_up, restore

TENANT = str(UUID(int=1))
RETENTION = -1


def chain(users: Sequence[int], *, hour: int = 0, after: Sequence[bytes] = ()) -> list[bytes]:
    """Make receipts of these users that follow the given lines."""
    lines = list(after)
    for user in users:
        before = msgspec.json.decode(lines[-1])["hash"] if lines else FIRST_PREV_HASH
        finished_at = f"2026-11-26T{hour:02}:00:00.000000Z"
        shape = {"seq": len(lines) + 1, "tenant_id": TENANT, "user_id": str(UUID(int=abs(user)))}
        counts = {"chat_sessions": 1, "messages": 1, "finished_at": finished_at}
        members = shape | counts | {"prev_hash": before, "hash": ""}
        line = (
            msgspec.convert(members | {"v": 2, "kind": "retention"}, ReceiptLine2)
            if user == RETENTION
            else msgspec.convert(members, ReceiptLine1)
        )
        lines.append(msgspec.json.encode(msgspec.structs.replace(line, hash=hash_of(line))))
    return lines


def verified(folder: Path, lines: Sequence[bytes], contains: Sequence[bytes] | str) -> Result:
    for name, each in (("now", lines), ("earlier", contains)):
        if not isinstance(each, str):
            (folder / name).write_bytes(b"".join(line + b"\n" for line in each))
    what = contains if isinstance(contains, str) else str(folder / "earlier")
    return CliRunner().invoke(commands, ["verify", str(folder / "now"), "--contains", what])


def head(lines: Sequence[bytes]) -> str:
    text: str = msgspec.json.decode(lines[-1])["hash"]
    return text


def test_a_chain_that_goes_on_contains_the_earlier_one(tmp_path: Path) -> None:
    early = chain([1, 2])
    late = chain([3], after=early)
    for contains in (early, head(early), [], FIRST_PREV_HASH):
        answer = verified(tmp_path, late, contains)
        assert (answer.exit_code, answer.output[:20]) == (0, "3 receipts, unbroken")


def test_a_hash_that_is_not_in_an_unbroken_chain_is_explained_and_no_forgery(
    tmp_path: Path,
) -> None:
    early = chain([1, 2, 3])
    answer = verified(tmp_path, early[:2], head(early))
    assert answer.exit_code == 3
    why = "ends at receipt 2, finished 2026-11-26T00:00:00.000000Z"
    assert all(words in answer.output for words in (why, "cut off", "restored from a backup"))
    forged = [early[0].replace(b'"messages":1', b'"messages":2'), *early[1:]]
    assert verified(tmp_path, forged, head(early)).exit_code == 1


def test_an_earlier_export_says_what_was_cut_off(tmp_path: Path) -> None:
    early = chain([1, 2, 3])
    answer = verified(tmp_path, early[:2], early)
    assert answer.exit_code == 3
    lost = f"missing: receipt 3: tenant {TENANT}, user {UUID(int=3)}\n"
    assert answer.output.startswith(lost)
    assert "up to receipt 2 and ends there: 1 receipts were cut off" in answer.output


def test_a_fork_names_those_who_have_no_receipt_in_the_new_branch(tmp_path: Path) -> None:
    """Nor is a retention's receipt missed: it names nobody."""
    early = chain([1, 2, RETENTION, 4, 5])
    late = chain([5, 9, 2, 8], hour=1, after=early[:1])
    answer = verified(tmp_path, late, early)
    assert answer.exit_code == 3
    lost = f"missing: receipt 4: tenant {TENANT}, user {UUID(int=4)}\n"
    assert answer.output.startswith(lost + "bicameral: ")
    assert "up to receipt 1 and has 4 others since: 4 receipts were cut off" in answer.output


def test_neither_a_hash_nor_a_file_is_wrong_usage_and_a_bad_file_is_named(tmp_path: Path) -> None:
    good = chain([1])
    assert verified(tmp_path, good, "abc").exit_code == 2
    answer = verified(tmp_path, good, [b"nonsense"])
    assert answer.exit_code == 1
    assert "the earlier export: line 1: no receipt" in str(answer.exception)


async def test_after_a_restore_of_the_general_database_everybody_has_a_receipt_again(
    scene: Scene, tmp_path: Path
) -> None:
    await erased(scene)
    await back_up(scene, "general")
    for _ in range(2):
        await erased(scene)
    early = [line.strip() async for line in export(scene.databases.general)]
    await restore(scene, "general")
    late = [line.strip() async for line in export(scene.databases.general)]
    assert verified(tmp_path, late, head(early)).exit_code == 3
    assert verified(tmp_path, late, early).output.count("missing: receipt ") == 2
    await repaired(scene)
    late = [line.strip() async for line in export(scene.databases.general)]
    answer = verified(tmp_path, late, early)
    assert (answer.exit_code, answer.output.count("missing: ")) == (3, 0)
    assert "users of 0 of them have no other receipt" in answer.output
