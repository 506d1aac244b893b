"""An id of the product's own, by which it knows a person or a thing that is kept here."""

from __future__ import annotations

from typing import Annotated

from litestar.openapi.spec import Example
from litestar.params import PathParameter
from msgspec import Meta

from app.http.words import pattern

LENGTH = 255
# `.` and `..` mean something else in paths. Spelt out, since a lookahead breaks generators of
# clients: any sign but a dot and perhaps another one, a dot and any sign but a dot, or three.
PATTERN = pattern(
    r"^(?:[!-\-\/-~][!-~]?|\.[!-\-\/-~]|[!-~]{3,255})\Z",
    "Send 1 to 255 printable ASCII characters without spaces, and not just one dot or two.",
)
EXAMPLE = "user-4711"

ExternalId = Annotated[
    str, Meta(min_length=1, max_length=LENGTH, pattern=PATTERN, examples=[EXAMPLE])
]
ExternalIdInPath = Annotated[
    str,
    PathParameter(
        min_length=1,
        max_length=LENGTH,
        pattern=PATTERN,
        description="Your own id, byte for byte. Percent-encode it, a slash too: `%2F`.",
        examples=[Example(value=EXAMPLE)],
    ),
]
