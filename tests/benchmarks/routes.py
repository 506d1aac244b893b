"""The requests that are measured; every contestant must answer them alike."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.contestants import Running
from tests.benchmarks.generator import Load
from tests.benchmarks.rows import Target, text
from tests.benchmarks.world import BenchmarkError

BATCH = 1000
SESSION = "/v1/chat-sessions/%s"
MESSAGES = f"{SESSION}/messages"
BATCHES = f"{MESSAGES}/batch"
MESSAGE = {"role": "user", "content": "Where is it warm in the winter, and not too far away?"}
Body = Mapping[str, object]
Answers = Iterator[tuple[str, object]]
KEYS = ("session", "messages", "message", "batch")


@dataclass(frozen=True)
class Route:
    """`key` is its name on the command line."""

    key: str
    title: str
    load: Load
    writes: bool = False
    least_seconds: int = 1


def routes(targets: Sequence[Target], folder: Path) -> list[Route]:
    lines, message, batch = folder / "targets", folder / "message.json", folder / "batch.json"
    lines.write_text("".join(" ".join(map(str, one)).rstrip() + "\n" for one in targets))
    message.write_text(json.dumps(MESSAGE))
    batch.write_text(json.dumps(batch_body()))
    append = Load("POST", MESSAGES, lines, message)
    # The slowest take seconds for one, and of 32 at a time might answer none in time.
    insert = Load("POST", BATCHES, lines, batch, connections=4)
    return [
        Route("session", "GET session", Load("GET", SESSION, lines)),
        Route("messages", "GET newest 50 messages", Load("GET", MESSAGES, lines)),
        Route("message", "POST message, committed", append, writes=True),
        Route("batch", "POST batch of 1,000", insert, writes=True, least_seconds=5),
    ]


def batch_body() -> dict[str, list[dict[str, str]]]:
    chance = random.Random(2)  # the same each time
    return {"messages": [{"role": "user", "content": text(chance)} for _ in range(BATCH)]}


def compare(
    ours: Running,
    peer: Running,
    targets: Sequence[Target],
    message: Body = MESSAGE,
    batch: Body | None = None,
) -> None:
    """Raises BenchmarkError: whoever answers something else does other work, and is no measure.

    One after the other, for each appends its own messages.
    """
    (mine, other, *_), many = targets, batch or batch_body()
    for ask in (_reads, _writes):
        our_answers = list(ask(ours, mine, other, message, many))
        their_answers = list(ask(peer, mine, other, message, many))
        pairs = zip(our_answers, their_answers, strict=True)
        for (asked, our_answer), (_, their_answer) in pairs:
            if our_answer != their_answer:
                raise BenchmarkError(
                    f"{peer.contestant.name} answers {asked} differently:\n"
                    f"{str(their_answer)[:500]}\nnot\n{str(our_answer)[:500]}"
                )


def _reads(one: Running, mine: Target, other: Target, message: Body, batch: Body) -> Answers:
    with _client(one, mine.token) as http:
        yield "GET session", _plain(http.get(SESSION % mine.session_id))
        yield "GET messages", _plain(http.get(MESSAGES % mine.session_id))
        yield "GET /health/live", _plain(http.get("/health/live"))
    for token, session_id in ((mine.token, other.session_id), ("wrong", mine.session_id)):
        with _client(one, token) as http:
            for path in (SESSION, MESSAGES):
                yield f"GET of {token}", http.get(path % session_id).status_code
            for path, body in ((MESSAGES, message), (BATCHES, batch)):
                yield f"POST of {token}", http.post(path % session_id, json=body).status_code


def _writes(one: Running, mine: Target, _: Target, message: Body, batch: Body) -> Answers:
    path = MESSAGES % mine.session_id
    with _client(one, mine.token) as http:
        newest = http.get(path).json()["items"][0]["position"]
        yield "POST message", _new(http.post(path, json=message), newest)
        yield "POST batch", _new(http.post(BATCHES % mine.session_id, json=batch), newest)
        yield "GET what was posted", _new(http.get(path), newest)


def _client(one: Running, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=one.url, headers=headers, timeout=60)


def _plain(response: httpx.Response) -> tuple[int, Any]:
    body = response.json()
    if "items" in body:
        # A cursor is opaque: there is one, or there is none.
        body = {"next": bool(body.get("next")), "items": [_message(one) for one in body["items"]]}
    return response.status_code, _message(body)


def _message(item: dict[str, Any]) -> dict[str, Any]:
    """JavaScript's times end at the millisecond."""
    return {
        key: _milliseconds(value) if value and key.endswith("_at") else value
        for key, value in item.items()
    }


def _milliseconds(value: str) -> int:
    if not value.endswith("Z"):
        raise BenchmarkError(f"{value} is not in UTC")
    return int(datetime.fromisoformat(value).timestamp() * 1000)


def _new(response: httpx.Response, newest: int) -> tuple[int, Any]:
    """Ids and times of new messages are each contestant's own."""
    body = response.json()
    items = body.get("items", [body])
    shown = [
        {**item, "id": len(item["id"]), "position": item["position"] - newest}
        | {key: item[key][-1] for key in ("created_at", "updated_at")}
        for item in items
    ]
    return response.status_code, (sorted(body.keys() - {"next"}), shown)
