"""Messages of parts and metadata: a page and a batch beside Litestar + asyncpg returning the same.

What that peer does not have is measured by itself: a patch of a message in progress, beside a POST
of the same message, and a page of items of the conversations API.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import msgspec

from tests.benchmarks.contestants import ASYNCPG, OUR_NAME, OUR_OWN, PYTHON_PEERS, running
from tests.benchmarks.generator import Load
from tests.benchmarks.goals import verdicts
from tests.benchmarks.measure import Sample, measure, of
from tests.benchmarks.options import Options
from tests.benchmarks.report import console, judge, say, show, show_figures, warn_of_noise, write
from tests.benchmarks.routes import BATCH, BATCHES, MESSAGES, Body, Route, compare
from tests.benchmarks.rows import PAGE, Content, Target, load, mixture, targets, text
from tests.benchmarks.world import Pair, new_pair, pair_of_servers

STORED = 100_000
PEER = next(one for one in PYTHON_PEERS if one.name == ASYNCPG)
CALL = {
    "type": "tool_call",
    "id": "call_7Qx2Zb91",
    "name": "look_up_weather",
    "arguments": '{"place": "Tromsø", "days": 3}',
}
METADATA = {"model": "a-model-of-today", "trace": "0af7651916cd43dd8448eb211c80319c"}
PATCH, POST = "patch", "typed message"


def measure_typed(options: Options) -> bool:
    """Return whether all goals were met."""
    warn_of_noise()
    with ExitStack() as stack:
        pair = new_pair(stack.enter_context(pair_of_servers()), "typed")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))
        asked = _load(pair)
        say(f"{STORED:,} messages of two parts and metadata are loaded")
        ours = stack.enter_context(running(OUR_OWN, pair, options.out))
        peer = stack.enter_context(running(PEER, pair, options.out))
        compare(ours, peer, asked, message(), batch())
        pair.undo()
        beside, alone = _beside(asked, folder), _alone(asked, folder)
        samples = measure([ours, peer], beside, pair, options, say)
        samples += measure([ours], alone, pair, options, say)
    for route in beside:
        show(route, (OUR_NAME, ASYNCPG), samples)
    for route in alone:
        show(route, (OUR_NAME,), samples)
    return _finish(options, samples)


def _load(pair: Pair) -> list[Target]:
    lengths = mixture(STORED)
    return targets(
        load(pair, tenants=100, users=10, lengths=lengths, content=stored, unfinished=PAGE)
    )


def stored(said: str) -> Content:
    return Content(said, _json(_parts(said)), _json(METADATA))


def _json(value: object) -> str:
    """Write it without spaces, in UTF-8, as clients do."""
    return msgspec.json.encode(value).decode()


def _parts(said: str) -> Sequence[Body]:
    return [{"type": "text", "text": said}, CALL]


def message() -> dict[str, object]:
    said = "It is warm in Tromsø in the winter, if you stay inside. I shall look it up."
    return {"role": "assistant", "content": _parts(said), "metadata": METADATA}


def batch() -> Body:
    chance = random.Random(2)  # the same each time
    return {"messages": [message() | {"content": _parts(text(chance))} for _ in range(BATCH)]}


def _beside(asked: Sequence[Target], folder: Path) -> list[Route]:
    lines, body = _lines(folder / "targets", asked, str), _file(folder / "batch.json", batch())
    insert = Load("POST", BATCHES, lines, body, connections=4)
    return [
        Route("typed messages", "GET newest 50 typed messages", Load("GET", MESSAGES, lines)),
        Route("typed batch", "POST batch of 1,000 typed", insert, writes=True, least_seconds=5),
    ]


def _alone(asked: Sequence[Target], folder: Path) -> list[Route]:
    lines, body = folder / "targets", _file(folder / "message.json", message())
    change = {"content": message()["content"], "status": "in_progress"}
    patch = Load("PATCH", f"{MESSAGES}/{PAGE}", lines, _file(folder / "patch.json", change))
    path = f"/v1/conversations/conv_%s/items?limit={PAGE}"
    items = Load("GET", path, _lines(folder / "named", asked, lambda id_: id_.hex))
    return [
        Route(POST, "POST typed message", Load("POST", MESSAGES, lines, body), writes=True),
        Route(PATCH, "PATCH message in progress", patch, writes=True),
        Route("items", "GET newest 50 items of a conversation", items),
    ]


def _lines(file: Path, asked: Sequence[Target], session: Callable[[UUID], str]) -> Path:
    file.write_text("".join(f"{one.token} {session(one.session_id)}\n" for one in asked))
    return file


def _file(file: Path, body: Body) -> Path:
    file.write_text(_json(body))
    return file


def _finish(options: Options, samples: Sequence[Sample]) -> bool:
    patches, posts = (of(samples, one, OUR_NAME) for one in (PATCH, POST))
    pairs = list(zip(patches, posts, strict=True))
    cost = {
        "requests/s": [one.requests_per_second / other.requests_per_second for one, other in pairs],
        "CPU s": [one.cpu_seconds_per_1000 / other.cpu_seconds_per_1000 for one, other in pairs],
        "PostgreSQL CPU s": [
            one.postgres_cpu_seconds_per_1000 / other.postgres_cpu_seconds_per_1000
            for one, other in pairs
        ],
    }
    show_figures("PATCH ÷ POST of the same message", cost)
    console.print("Medians. CPU seconds are per 1,000 requests.\n")
    found = list(verdicts(samples))
    write(options.out, "typed", samples=samples, patch_to_post=cost, goals=found)
    return judge(found)
