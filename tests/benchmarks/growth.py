"""The cost of growth: depth of a page, size of the tables, a second worker, idle tenants."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from app.http.paging import cursor_of
from tests.benchmarks.contestants import OUR_OWN, Contestant, Running, litestar_run, running
from tests.benchmarks.generator import Load, generate
from tests.benchmarks.goals import Verdict
from tests.benchmarks.measure import WARM_UP_SECONDS, paired, take_turns
from tests.benchmarks.options import Options
from tests.benchmarks.report import judge, say, show_figures, write
from tests.benchmarks.routes import MESSAGES, Route, routes
from tests.benchmarks.rows import PAGE, Conversation, load, mixture, targets
from tests.benchmarks.world import BenchmarkError, Pair, new_pair, pair_of_servers

DEEP_PAGE = 10_000
DEEP_SESSION = 510_000
FEW, MANY = 50_000, 5_000_000
IDLE_TENANTS = 100
WITHIN = 0.8  # so much of the other's requests per second, at least
TWO_WORKERS = replace(
    OUR_OWN, name="Bicameral, two workers", command=partial(litestar_run, workers=2)
)


@dataclass(frozen=True)
class Place:
    """Databases of one size. Asked is the same everywhere: 50,000 messages of ten tenants."""

    pair: Pair
    session: Load
    append: Load


def measure_growth(options: Options) -> bool:
    """Return whether all goals were met."""
    with ExitStack() as stack:
        servers = stack.enter_context(pair_of_servers())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bicameral-benchmarks-")))

        def place(name: str) -> Place:
            pair = new_pair(servers, name)
            active = load(pair, tenants=10, users=20, lengths=mixture(FEW))
            return Place(pair, *_loads(routes(targets(active), _made(folder / name))))

        def served(contestant: Contestant, where: Place) -> Running:
            named = replace(contestant, name=f"{contestant.name}, {where.pair.name}")
            return stack.enter_context(running(named, where.pair, options.out))

        few, idle, many = place("few"), place("idle"), place("many")
        load(idle.pair, tenants=IDLE_TENANTS, users=10, lengths=mixture(FEW))
        deep = _grow(many.pair)
        say(f"Databases of {FEW:,} and {MANY:,} messages are loaded")
        alone, workers = served(OUR_OWN, few), served(TWO_WORKERS, few)
        crowd, large = served(OUR_OWN, idle), served(OUR_OWN, many)
        first, last = _pages(large, deep, folder)
        asked = {
            "page 1": (large, many, first),
            "page 10,000": (large, many, last),
            "append, 50,000 messages": (alone, few, few.append),
            "append, 5,000,000 messages": (large, many, many.append),
            "append, two workers": (workers, few, few.append),
            "GET session": (alone, few, few.session),
            "GET session, two workers": (workers, few, few.session),
            "GET session, 100 idle tenants": (crowd, idle, idle.session),
        }
        for one in asked.values():
            _rate(*one, WARM_UP_SECONDS)()
        cases = {name: _rate(*one, options.seconds) for name, one in asked.items()}
        figures = take_turns(cases, options.rounds)
        memory = crowd.rss_mb() / alone.rss_mb()
    verdicts = _verdicts(figures, memory)
    show_figures("Requests per second", figures)
    write(options.out, "growth", requests_per_second=figures, goals=verdicts)
    return judge(verdicts)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _loads(every: list[Route]) -> tuple[Load, Load]:
    by_key = {one.key: one.load for one in every}
    return by_key["session"], by_key["message"]


def _grow(pair: Pair) -> Conversation:
    """To five million, in other tenants' sessions; the first one is deep."""
    lengths = [DEEP_SESSION, *mixture(MANY - FEW - DEEP_SESSION)]
    return load(pair, tenants=IDLE_TENANTS, users=10, lengths=lengths)[0]


def _pages(one: Running, deep: Conversation, folder: Path) -> tuple[Load, Load]:
    """Its first page and its ten-thousandth, which is looked at before."""
    line = folder / "deep"
    line.write_text(f"{deep.owner.token} {deep.id}\n")
    before = deep.messages - PAGE * (DEEP_PAGE - 1) + 1
    path = f"{MESSAGES}?after={cursor_of(before)}"
    headers = {"Authorization": f"Bearer {deep.owner.token}"}
    page = httpx.get(one.url + path % deep.id, headers=headers).raise_for_status().json()
    if [item["position"] for item in page["items"]] != [*range(before - 1, before - 1 - PAGE, -1)]:
        raise BenchmarkError(f"{path} is not page {DEEP_PAGE}")
    return Load("GET", MESSAGES, line), Load("GET", path, line)


def _rate(one: Running, where: Place, what: Load, seconds: int) -> Callable[[], float]:
    def rate() -> float:
        where.pair.rest()
        return generate(one.url, what, seconds).per_second

    return rate


def _verdicts(figures: dict[str, list[float]], memory: float) -> list[Verdict]:
    def compared(these: str, those: str, goal: float = WITHIN) -> Verdict:
        return Verdict(f"{these} ÷ {those}", paired(figures[these], figures[those]), goal)

    return [
        compared("page 10,000", "page 1"),
        compared("append, 5,000,000 messages", "append, 50,000 messages"),
        compared("append, two workers", "append, 50,000 messages", 1.0),
        compared("GET session, two workers", "GET session", 1.0),
        compared("GET session, 100 idle tenants", "GET session"),
        Verdict("memory, 100 idle tenants ÷ none", memory, 1.1, at_least=False),
    ]
