"""A request's JSON in one form: equal for equal requests, and for no others."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.canonical import canonical

SHORT = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
SAME = [
    (b'{"a":1,"b":[2]}', b' {"b" : [2],\n"a":1} '),
    (b'["\\u00e9\\ud83d\\ude00"]', '["é😀"]'.encode()),
    (b'["\\ud83d"]', b'[ "\\uD83d" ]'.lower()),
    (b"[0.1]", b"[0.10]"),
    (b"[1e400]", b"[ 1e400]"),
]
OTHERS = [
    (b"[1e400]", b"[1e401]"),
    (b"[-1E-400]", b"[0.0]"),
    (b"[12345678901234567890123]", b"[12345678901234567890124]"),
    (b"[0.1000000000000000055]", b"[0.1]"),
    (b"[%s1]" % (b"9" * 5000), b"[%s2]" % (b"9" * 5000)),
    (b'["\\ud83d"]', b'["\\ud83e"]'),
    (b'["\\ud83d"]', b'["\\ufffd"]'),
    (b'["\\\\ud83d"]', b'["\\ud83d"]'),
    (b"[1]", b'["1"]'),
    (b"[1e400]", b'["1e400"]'),
]


@given(SHORT)
def test_what_was_stored_before_is_found_again(value: object) -> None:
    """It is what msgspec writes of what it reads, where no number is long."""
    assert (
        canonical(msgspec.json.encode(value)) == msgspec.json.encode(value, order="sorted").decode()
    )


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_requests_are_equal(one: bytes, other: bytes) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_requests_that_differ_in_their_last_digit_differ(one: bytes, other: bytes) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("body", [b"", b"{", b"[NaN]", b"[01]", b'["\\x"]', b"[1,]"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        canonical(body)
