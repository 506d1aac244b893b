"""Metadata are checked when they come, kept as the text of an object, and found by tags."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.metadata import TAG_BYTES, Metadata, shown, stored, tag, tags
from app.http.words import explain

PAIRS = st.dictionaries(st.text(min_size=1, max_size=64), st.text(max_size=512), max_size=16)


@pytest.mark.parametrize(
    ("bad", "path", "words"),
    [
        ({"": "x"}, "", "In a key, send at least 1 character."),
        ({"k" * 65: "x"}, "", "In a key, send at most 64 characters."),
        ({"k": "v" * 513}, "[...]", "Send at most 512 characters."),
        ({"k": 1}, "[...]", "Send a string, not a whole number."),
        ({"k": None}, "[...]", "Send a string, not null."),
        ({str(number): "" for number in range(17)}, "", "Send at most 16 pairs."),
        (["k", "v"], "", "Send an object, not a list."),
    ],
)
def test_what_is_no_metadata_is_refused_in_words(bad: Any, path: str, words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(bad), type=Metadata)
    error = explain(str(refused.value), Metadata)
    assert (error.path, error.message) == (path, words)


@given(PAIRS)
def test_metadata_are_given_back_in_their_order(pairs: dict[str, str]) -> None:
    taken = msgspec.json.decode(msgspec.json.encode(pairs), type=Metadata)
    text = stored(taken)
    assert list(shown(text).items()) == list(pairs.items())
    assert (text is None) == (tags(taken) is None) == (not pairs)
    assert text is None or "\0" not in text  # PostgreSQL would refuse it


def test_each_pair_has_a_tag_that_never_changes() -> None:
    """Rows are found by the tags that another version, or another process, has written."""
    assert tag("topic", "travel").hex() == "84aa2ccf80034f34"
    both = tags({"topic": "travel", "näme": "\0"})
    assert both == sorted([tag("topic", "travel"), tag("näme", "\0")])
    assert {len(one) for one in both or ()} == {TAG_BYTES}
    assert tag("a", "b") != tag("b", "a") != tag("ab", "")
