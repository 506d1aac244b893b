"""Tags of a conversation's state: made, and read from `If-Match`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.chat.etags import ANY, NONE, Expected, changed_meanwhile, etag, parsed
from app.http.errors import BadRequest

AT = datetime(2026, 11, 26, 15, 13, 20, 123456, tzinfo=UTC)
TAG = '"12-1795706000123456"'


def test_a_tag_is_read_as_the_state_it_was_made_of() -> None:
    assert etag(12, AT) == TAG
    for sent in (TAG, f"W/{TAG}", f" \t{TAG} "):
        assert parsed(sent) == Expected(12, AT)
    for version, at in ((0, AT), (10**18 - 1, AT.replace(year=4000)), (3, AT.replace(year=1970))):
        assert parsed(etag(version, at)) == Expected(version, at)
    assert parsed("*") == ANY
    assert changed_meanwhile(12, AT).headers == {"ETag": TAG}


@pytest.mark.parametrize(
    "opaque",
    [
        "",
        "abc",
        "012-1795706000123456",  # not the bytes that were given out
        "12-01795706000123456",
        "-1-0",
        "12-1795706000123456-gzip",
        "9" * 19 + "-1795706000123456",
        "12-" + "9" * 18,
        "١٢-1795706000123456",
        "\xff",
    ],
)
def test_somebody_elses_tag_is_well_formed_and_names_no_state(opaque: str) -> None:
    sent = opaque.encode().decode("latin-1")
    assert parsed(f'"{sent}"') == NONE


@pytest.mark.parametrize(
    "sent",
    [
        *("", " ", "12", f"w/{TAG}", f"{TAG}, {TAG}", f"{TAG},", "*, *", f"*{TAG}", '"', '"a b"'),
        *('"a"b"', f"{TAG}\n", f"W/ {TAG}", "'a'", "W/*", '"\x7f"'),
    ],
)
def test_what_is_not_one_tag_is_refused(sent: str) -> None:
    with pytest.raises(BadRequest):
        parsed(sent)
