"""`ETag` and `If-Match`: who writes to a conversation may say which state of it they have seen.

A conversation's tag is made of its version, which every change raises, and of the time of its last
change, since the version of the service before this one renames without raising it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from litestar import Request
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter

from app.http.errors import BadRequest, PreconditionFailed
from app.http.exchange import etag
from app.http.paging import EPOCH, MICROSECOND

HEADER = "If-Match"
TAG = re.compile(r'(?:W/)?"([!#-~\x80-\xff]*)"')  # RFC 9110; a proxy that compresses adds W/
OURS = re.compile(r"([0-9]{1,18})-([0-9]{1,17})")  # within a bigint, and the years of a datetime
NEEDS_ONE = f"Send one tag in {HEADER}, as an ETag has it, in quotes; or `*`."

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER,
        description="Write only if nobody was faster: the `ETag` of the conversation as you have "
        "seen it. If it has changed since, nothing is written, and the answer is 412.",
    ),
]
# Of routes that send it with success.
ETAG = ResponseHeader("ETag", documentation_only=True)


class Expected(NamedTuple):
    """The state in which a write expects its conversation; None for any."""

    version: int | None = None
    at: datetime | None = None


ANY = Expected()
NONE = Expected(-1, EPOCH)  # what somebody else's tag names: no conversation is in this state


def expected(request: Request[Any, Any, Any], if_match: str | None) -> Expected:
    """Read the header. Raises BadRequest for a malformed one, and for more tags than one."""
    if if_match is None:
        return ANY
    if len(request.headers.getall(HEADER)) > 1:
        raise BadRequest(NEEDS_ONE)
    return parsed(if_match)


def parsed(if_match: str) -> Expected:
    """Raises BadRequest for what is neither one tag nor `*`."""
    sent = if_match.strip(" \t")
    if sent == "*":
        return ANY
    tag = TAG.fullmatch(sent)
    if tag is None:
        raise BadRequest(NEEDS_ONE)
    return _state(tag[1])


def _state(opaque: str) -> Expected:
    ours = OURS.fullmatch(opaque)
    if ours is None:
        return NONE
    version, at = int(ours[1]), EPOCH + int(ours[2]) * MICROSECOND
    return Expected(version, at) if etag(version, at) == f'"{opaque}"' else NONE


def etag_header(version: int, updated_at: datetime) -> dict[str, str]:
    return {"ETag": etag(version, updated_at)}


def changed_meanwhile(version: int, updated_at: datetime) -> PreconditionFailed:
    """Return the 412 to raise, with the present tag."""
    return PreconditionFailed(etag=etag(version, updated_at))
