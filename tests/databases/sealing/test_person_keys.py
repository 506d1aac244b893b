"""A person's key opens what it sealed at its own place, unchanged, and nothing else."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.databases.sealing.person_keys import PersonKey, UnreadableError, place

TENANT, SESSION, ROW = uuid4(), uuid4(), uuid4()
HERE = place("messages", TENANT, SESSION, ROW, "sealed")
SECRET = os.urandom(32)


def key(secret: bytes = SECRET) -> PersonKey:
    return PersonKey(UUID(int=1), secret)


@given(
    st.binary(max_size=3000)
    | st.text(max_size=2000).map(lambda text: text.encode(errors="replace"))
)
def test_what_was_sealed_opens_as_it_was(text: bytes) -> None:
    assert key().open(key().seal(text, HERE), HERE) == text


def test_long_texts_are_shorter_and_no_two_sealings_are_alike() -> None:
    text = b"again and " * 1000

    assert len(key().seal(text, HERE)) < len(text) / 10
    assert key().seal(text, HERE) != key().seal(text, HERE)
    assert len(key().seal(b"short", HERE)) == 1 + 12 + len(b"short") + 16


@pytest.mark.parametrize("text", [b"short", b"long " * 1000])
def test_every_flipped_bit_is_refused(text: bytes) -> None:
    sealed = key().seal(text, HERE)

    for index in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[index] ^= 1 << index % 8
        with pytest.raises(UnreadableError):
            key().open(bytes(flipped), HERE)
    for length in range(len(sealed)):
        with pytest.raises(UnreadableError):
            key().open(sealed[:length], HERE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        place("chat_sessions", TENANT, SESSION, ROW, "sealed"),
        place("messages", uuid4(), SESSION, ROW, "sealed"),
        place("messages", TENANT, uuid4(), ROW, "sealed"),
        place("messages", TENANT, SESSION, uuid4(), "sealed"),
        place("messages", TENANT, SESSION, ROW, "title"),
        place("messages", SESSION, TENANT, ROW, "sealed"),
    ],
    ids=["table", "tenant", "session", "row", "field", "order"],
)
def test_a_row_does_not_pass_for_another(elsewhere: bytes) -> None:
    with pytest.raises(UnreadableError):
        key().open(key().seal(b"text", HERE), elsewhere)


def test_another_key_opens_nothing_and_makes_other_digests() -> None:
    other = key(os.urandom(32))

    with pytest.raises(UnreadableError):
        other.open(key().seal(b"text", HERE), HERE)
    assert key().digest(b"text") == key().digest(b"text") != other.digest(b"text")
    assert key().tag("a", "b") == key().tag("a", "b") != other.tag("a", "b")
    assert key().tag("a", "bc") != key().tag("ab", "c")
    assert len(key().tag("a", "b")) == 8


def test_a_key_shows_its_id_alone() -> None:
    assert repr(key()) == f"PersonKey({UUID(int=1)})"
    assert not hasattr(key(), "__dict__")
