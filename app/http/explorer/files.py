"""Files that stay the same while the process runs: compressed once, and named by their content."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from litestar import Request, Response
from litestar.enums import MediaType
from litestar.response.base import ASGIResponse
from litestar.status_codes import HTTP_304_NOT_MODIFIED

# A cache asks each time whether it still has the newest, and is told so in a few bytes.
HEADERS = {"cache-control": "no-cache", "vary": "accept-encoding"}
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Packed(NamedTuple):
    """The compressed bytes are all that is kept; few clients want others."""

    etag: str
    content: bytes


class Constant(Response[bytes]):
    """Answers with bytes that are always the same ones, as the client would like them."""

    def to_asgi_response(
        self, app: Any, request: Request[Any, Any, Any], **more: Any
    ) -> ASGIResponse:
        chosen: Any = choose(request, pack(self.content), self.media_type or MediaType.TEXT)
        return chosen.to_asgi_response(app, request, **more)


def choose(request: Request[Any, Any, Any], packed: Packed, media_type: str) -> Response[bytes]:
    """Choose among nothing, for a client that has it already, and the two encodings."""
    takes_gzip = accepts(request.headers.get("accept-encoding", ""), "gzip")
    etag = f'"{packed.etag}-gzip"' if takes_gzip else f'"{packed.etag}"'
    headers = HEADERS | {"etag": etag}
    if names(request.headers.get("if-none-match", ""), etag):
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    if takes_gzip:
        headers |= {"content-encoding": "gzip"}
        return Response(packed.content, media_type=media_type, headers=headers)
    return Response(gzip.decompress(packed.content), media_type=media_type, headers=headers)


def accepts(header: str, coding: str) -> bool:
    """Read `Accept-Encoding` (RFC 9110, 12.5.3): a weight of zero refuses a coding."""
    weights = dict(_weights(header))
    return weights.get(coding, weights.get("*", 0.0)) > 0


def names(header: str, etag: str) -> bool:
    """Read `If-None-Match` (RFC 9110, 13.1.2), whose tags may have been weakened on the way."""
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return bool(tags & {"*", etag})


@lru_cache
def packed_file(path: Path) -> Packed:
    return pack(path.read_bytes())


@lru_cache(maxsize=8)
def pack(content: bytes) -> Packed:
    return Packed(sha256(content).hexdigest()[:32], gzip.compress(content, mtime=0))


def _weights(header: str) -> Iterator[tuple[str, float]]:
    for entry in header.lower().split(","):
        coding, _, parameter = entry.partition(";")
        name, _, weight = parameter.partition("=")
        try:
            yield coding.strip(), float(weight) if name.strip() == "q" else 1.0
        except ValueError:
            yield coding.strip(), 0.0
