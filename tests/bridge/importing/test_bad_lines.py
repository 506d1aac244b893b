"""A file that is cut, changed or made up is refused line by line, and no person is half stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from app.databases.database import Databases
from tests.support import sealing
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.importing import exported, imported, objects, rewritten
from tests.support.moved import Target

Lines = list[dict[str, Any] | bytes]


@pytest.fixture
async def moved(target: Target) -> AsyncIterator[Databases]:
    databases = Databases.create(target.settings)
    yield databases
    await databases.dispose()


def change(kind: str, **members: Any) -> Callable[[Lines], Lines]:
    """Change the first line of the kind."""

    def changed(lines: Lines) -> Lines:
        number = first(lines, kind)
        line = lines[number]
        assert isinstance(line, dict)
        return [*lines[:number], line | members, *lines[number + 1 :]]

    return changed


def first(lines: Lines, kind: str) -> int:
    return next(n for n, one in enumerate(lines) if isinstance(one, dict) and one["type"] == kind)


def put(line: dict[str, Any] | bytes) -> Callable[[Lines], Lines]:
    """Put a line before the first message."""
    return lambda lines: [
        *lines[: (n := first(lines, "message"))],
        line,
        *lines[n:],
    ]


def twice(kind: str) -> Callable[[Lines], Lines]:
    return lambda lines: [*lines[: (n := first(lines, kind)) + 1], lines[n], *lines[n + 1 :]]


def without(kind: str) -> Callable[[Lines], Lines]:
    return lambda lines: [*lines[: (n := first(lines, kind))], *lines[n + 1 :]]


HALF = "\ud83d"
NOBODY = str(uuid4())
TEXT = {"type": "text", "text": "x"}
DEEP = json.loads('{"a":' * 70 + "1" + "}" * 70)
# What is done to the lines of a person, and what is said of it, after the number of the line.
CASES: list[tuple[Callable[[Lines], Lines], str]] = [
    (put(b"{\n"), "It is not JSON in UTF-8."),
    (put(b"\xff\n"), "It is not JSON in UTF-8."),
    (put(b"[1]\n"), "Send an object, not a list."),
    (put({"type": "attachment"}), "It is of no known kind; lines are "),
    (put({"a": 1}), "It is of no known kind; lines are "),
    (twice("message"), "The position 1 comes twice, or after a later one."),
    (twice("chat_session"), "comes twice."),
    (without("message"), "There are not as many lines before it as it says."),
    (
        lambda lines: change("user_end", messages=1)(without("message")(lines)),
        "The conversation has 2 messages, the file 1: cut off, or written to while it was exported",
    ),
    (without("chat_session"), "of this person before it."),
    (without("user"), "There is no `user` line before it, whose it would be."),
    (change("message", session_id=NOBODY), f"There is no conversation {NOBODY} of this person"),
    (change("message", position=0), "position: Send at least 1."),
    (change("message", position=2**53), "position: Send at most 9007199254740991."),
    (change("message", position=3), "The position 2 comes twice, or after a later one."),
    (change("message", role="root"), "role: Send one of these: "),
    (change("message", status="new"), "status: Send one of these: "),
    (change("message", id="1"), "id: Send a UUID"),
    (change("message", content=None), "content: Send a text or a list of parts."),
    (change("message", content=[{"text": "x"}]), "content[0].type: This field is missing"),
    (change("message", content=[DEEP | {"type": "x"}]), "content: Nest lists and objects at most"),
    (change("message", content="x" * 1_100_000), "content: A message may have 1 MiB."),
    (change("message", content=[TEXT], content_text="[]"), "content_text: It is not the text"),
    (change("message", metadata={"k": 1}), "metadata[...]: Send a string"),
    (change("message", client_digest="00"), "client_digest: Send 64 hexadecimal digits."),
    (change("message", client_id="a b"), "client_id: Send 1 to 255 printable ASCII"),
    (change("message", item_id="__fake_id__"), "item_id: Send an id of the form `prefix_…`."),
    (
        change("message", created_at="2026-01-01T00:00:00"),
        "created_at: Send a time with its offset",
    ),
    (change("message", secret=1), "secret: There is no such field here; leave it out."),
    (change("chat_session", title=HALF), "Leave out half of a surrogate pair"),
    (change("chat_session", title=""), "title: Send at least 1 character"),
    (change("chat_session", title="a\0b"), "title: Leave the character U+0000 out."),
    (change("chat_session", message_count=9), "message_count: There are no more messages than"),
    (change("chat_session", version=-1), "version: Send at least 0."),
    (change("chat_session", last_position=1, message_count=1), "The conversation has 1 messages"),
    (change("user_end", messages=1), "There are not as many lines before it as it says."),
    (without("user_end"), "The lines of this person are cut off."),
]


async def test_each_bad_line_is_named_and_its_person_is_not_imported(
    world: World, target: Target, moved: Databases
) -> None:
    """The others of the file are. Once it is mended, whoever was missing is imported."""
    alice, bob = await world.member(), await world.member()
    for someone in (alice, bob):
        session = await a_session(someone)
        for _ in range(2):
            await a_message(someone, session["id"])
    good = await exported(world.databases, target.settings)
    lines: Lines = [*objects(good)]
    assert rewritten(lines) == rewritten(objects(rewritten(lines)))
    for case, words in CASES:
        result = await imported(moved, target.settings, _written(case(lines)))
        found = [one for one in result.said if words in one]
        assert found, (words, result.said)
        assert found[0].startswith("line "), found
        assert len(await target.rows("owners")) == 1, words  # Bob's: he is the second
        assert len(await target.rows("messages")) == 2, words
    result = await imported(moved, target.settings, good)
    assert (result.said, result.done.people, result.done.present) == ([], 1, 1)
    assert await target.said("messages") == await target.said("messages", before=True)


def _written(lines: Lines) -> bytes:
    return rewritten([_escaped(one) for one in lines])


def _escaped(line: dict[str, Any] | bytes) -> dict[str, Any] | bytes:
    """Write halves of surrogate pairs as the escapes that msgspec does not write."""
    if isinstance(line, dict) and line.get("title") == HALF:
        return json.dumps(line).encode() + b"\n"
    return line


async def test_a_file_is_missed_wherever_it_is_cut(
    world: World, target: Target, moved: Databases
) -> None:
    """An import of what is left stores people whole, and says that the rest is missing."""
    alice, bob = await world.member(), await world.member()
    for someone in (alice, bob):
        await a_message(someone, (await a_session(someone))["id"])
    good = await exported(world.databases, target.settings)
    ends = [n + 1 for n, byte in enumerate(good) if byte == 10]
    for end in [*ends[:-1], *(end - 9 for end in ends)]:
        result = await imported(moved, target.settings, good[:end])
        assert any(one.startswith("line ") for one in result.said), end
        assert {len(await target.rows(table)) for table in ("messages", "owners")} in (
            {0},
            {1},
            {2},
        )
    changed = good.replace(b"Hello", b"Hallo", 1)
    result = await imported(moved, target.settings, changed)
    assert [one for one in result.said if "not as they were exported" in one]


async def test_whoever_has_other_rows_here_is_left_alone(
    world: World, target: Target, moved: Databases
) -> None:
    alice, bob = await world.member(), await world.member()
    hers, his = await a_session(alice), await a_session(bob)
    await a_message(alice, hers["id"])
    good = await exported(world.databases, target.settings)
    assert (await imported(moved, target.settings, good)).said == []
    await target.run(
        f"UPDATE messages SET content = 'other', sealed = NULL WHERE session_id = '{hers['id']}'"
    )
    before = await target.rows("messages")
    said = (await imported(moved, target.settings, good)).said
    assert said == [
        f"{_whose(alice)} has conversations here that are not the file's, and is left as they are."
    ]
    assert await target.rows("messages") == before
    # Somebody else's conversation under an id of Bob's: his are refused, and theirs is not touched.
    await target.run(f"UPDATE chat_sessions SET user_id = '{alice.id}' WHERE id = '{his['id']}'")
    said = (await imported(moved, target.settings, good)).said
    assert [one for one in said if one.startswith(f"{_whose(bob)} is not imported: an id of")]
    assert len(await target.rows("chat_sessions")) == 2


def _whose(someone: Someone) -> str:
    return f"user {someone.id} of tenant {someone.tenant_id}"


async def test_strangers_and_deleted_people_are_refused(
    world: World, target: Target, moved: Databases
) -> None:
    """Nobody who was deleted comes back, whatever is said; nor strangers where all is sealed."""
    alice = await world.member()
    await a_session(alice)
    lines = objects(await exported(world.databases, target.settings))
    stranger = str(uuid4())
    made_up: Lines = [
        one | {"id": stranger} if one["type"] == "user" else one for one in (*lines[:1], *lines[1:])
    ]
    made_up = [
        one | {"user_id": stranger} if isinstance(one, dict) and one["type"] == "user_end" else one
        for one in made_up
    ]
    said = (await imported(moved, target.settings, rewritten(made_up))).said
    assert len(said) == 1
    assert "is not known to the user database" in said[0]
    assert await target.rows("owners") == []
    result = await imported(moved, target.settings, rewritten(made_up), with_strangers=True)
    if sealing.IS_WANTED:
        assert "which would have the key to seal what they said" in result.said[0]
        assert await target.rows("owners") == []
    else:
        assert (result.said, result.done.people) == ([], 1)
    await world.operators.delete_user(alice.username)
    said = (await imported(moved, target.settings, rewritten(lines), with_strangers=True)).said
    assert said == [f"{_whose(alice)} was deleted, and nobody who was deleted comes back."]
    assert not [one for one in await target.rows("owners") if str(alice.id) in one]
