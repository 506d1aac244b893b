"""The header `On-Behalf-Of` names the person whom an API key acts for."""

from __future__ import annotations

import re
from typing import NamedTuple
from uuid import UUID

from app.http.errors import BadRequest
from app.http.external_ids import PATTERN

ON_BEHALF_OF = "On-Behalf-Of"
EXTERNAL = "external:"
EXTERNAL_ID = re.compile(PATTERN)
USER_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")


class OnBehalfOf(NamedTuple):
    """The person whom an API key acts for, by one of two ids; `fault` says what is wrong."""

    user_id: UUID | None = None
    external_id: str | None = None
    fault: str = ""


def read_header(sent: list[bytes]) -> OnBehalfOf:
    """Read the header's values, of which there must be one."""
    if len(sent) > 1:
        return OnBehalfOf(fault=f"{ON_BEHALF_OF} was sent more than once; send it once.")
    value = sent[0].decode("latin-1").strip(" \t")
    if USER_ID.match(value):
        return OnBehalfOf(user_id=UUID(value))
    external_id = value.removeprefix(EXTERNAL)
    if value.startswith(EXTERNAL) and EXTERNAL_ID.match(external_id):
        return OnBehalfOf(external_id=external_id)
    return OnBehalfOf(
        fault=f"Send in {ON_BEHALF_OF} a user's id, or `{EXTERNAL}` and the id that your product"
        " gave them: 1 to 255 printable ASCII characters without spaces."
    )


def check_header(sent: OnBehalfOf | None, is_of_person: bool) -> None:
    """Raise BadRequest for a faulty header, a missing one, and one the route has no use for."""
    if sent is not None and sent.fault:
        raise BadRequest(sent.fault)
    if sent is None and is_of_person:
        raise BadRequest(f"This is a person's route: say in {ON_BEHALF_OF} whom the key acts for.")
    if sent is not None and not is_of_person:
        raise BadRequest(f"This route is about no person; leave {ON_BEHALF_OF} out.")
