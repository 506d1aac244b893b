"""Writes what `litestar reconcile` found, as lines for people or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.bridge.reconcile.credentials import ApiKey, Credentials, Person
from app.bridge.reconcile.differences import Difference
from app.bridge.reconcile.guards import GUARD_KINDS, cure
from app.bridge.reconcile.reconciler import Outcome

LISTED = 1000


def lines(outcome: Outcome, *, repaired: bool) -> Iterator[str]:
    """Yield a line for each difference and each credential that may be old, and a last one."""
    for one in sorted(outcome.found, key=str):
        yield f"{one}{_advice(one)}" if one in outcome.left else f"{one} (mended)"
    if outcome.tokens_ended is not None:
        yield f"{outcome.tokens_ended} access tokens were ended, minted ones too."
    if outcome.old is not None:
        yield from _old(outcome.old)
    if outcome.pending:
        yield f"{outcome.pending} erasures are pending; the relay goes on with them."
    if outcome.left:
        yield f"{len(outcome.left)} differences{' could not be mended' if repaired else ''}."
    else:
        yield "The databases agree."


def _advice(one: Difference) -> str:
    """Name the statements with which the tables' owner mends this, if there is one."""
    if one.kind not in GUARD_KINDS:
        return ""
    return f"; as the owner: {'; '.join(cure(one)[1])}"


def _old(old: Credentials) -> Iterator[str]:
    """List up to LISTED of each kind; JSON has all of them."""
    for person in old.people[:LISTED]:
        state = "blocked" if person.is_blocked else "not blocked"
        roles = f"roles {', '.join(person.roles)}" if person.roles else "no roles"
        yield f"may be old: {_whose(person, 'user')}: password, {roles}, {state}"
    for key in old.api_keys[:LISTED]:
        yield f"may be old: {_whose(key, 'API key')}: may have been revoked since"
    if more := sum(max(0, len(each) - LISTED) for each in old):
        yield f"{more} more may be old; --json lists all, --since fewer."


def _whose(one: Person | ApiKey, noun: str) -> str:
    return f"tenant {one.tenant_id}, {noun} {one.id}, as of {_time(one.as_of)}"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def as_json_text(outcome: Outcome) -> str:
    found = [_plain(one, one not in outcome.left) for one in sorted(outcome.found, key=str)]
    answer: dict[str, Any] = {
        "agree": not outcome.left and not outcome.pending,
        "pending": outcome.pending,
        "differences": found,
    }
    if outcome.tokens_ended is not None:
        answer["tokens_ended"] = outcome.tokens_ended
    if outcome.old is not None:
        answer["may_be_old"] = {
            name: [one._asdict() | {"as_of": _time(one.as_of)} for one in each]
            for name, each in outcome.old._asdict().items()
        }
    return msgspec.json.encode(answer).decode()


def _plain(one: Difference, is_mended: bool) -> dict[str, Any]:
    return one._asdict() | {"meaning": one.meaning, "mended": is_mended}
