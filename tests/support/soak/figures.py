"""The report: how it was, for people to read and as JSON. None of it is asserted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

import asyncpg
import msgspec

from tests.support.history import Anomaly
from tests.support.servers import Servers
from tests.support.soak.book import Book, Fate
from tests.support.soak.breakage import Breakage
from tests.support.soak.replicas import Held
from tests.support.soak.soak import Sample, Soak
from tests.support.soak.tally import CALM, Tally, Timing

MEGABYTE = 1024 * 1024
WARM = 0.2  # of the samples are before it has settled
LONGEST = 200  # characters of a finding
FEWEST = 20  # timings that a percentile is taken of
LAGS = """
SELECT extract(epoch FROM completed_at - changed_at)::float8 FROM subject_ledger
WHERE state = 'deleted' AND completed_at IS NOT NULL
"""


def figures(soak: Soak, breakage: Breakage, seconds: float) -> dict[str, Any]:
    tally = soak.tally
    answers = sum(tally.answers.values())
    return {
        "seconds": round(seconds, 1),
        "seed": soak.seed,
        "requests": answers + sum(tally.errors.values()),
        "requests_per_second": round(answers / seconds, 1),
        "answers": {
            "all": _sorted(Counter(_summed(tally.answers, lambda key: str(key[1])))),
            "calm": _of(tally.answers, CALM),
        },
        "errors": {
            "all": _sorted(_summed(tally.errors, lambda key: key[1])),
            "calm": _of(tally.errors, CALM),
            "by_fault": _by_fault(tally),
        },
        "acts": _sorted(tally.acts),
        "slow_readers": dict(soak.stalls),
        "faults": {
            name: {"times": len(times), "seconds_to_ready_max": round(max(times), 2)}
            for name, times in sorted(breakage.recoveries.items())
        },
        "exit_codes_on_sigterm": dict(Counter(map(str, breakage.exit_codes))),
        "memory": {name: memory(samples) for name, samples in soak.samples.items()},
        "p99_ms": {route: drift(times) for route, times in sorted(tally.timings.items())},
    }


def _summed(
    counts: Counter[tuple[str, Any]], name: Callable[[tuple[str, Any]], str]
) -> Counter[str]:
    summed = Counter[str]()
    for key, times in counts.items():
        summed[name(key)] += times
    return summed


def _of(counts: Counter[tuple[str, Any]], fault: str) -> dict[str, int]:
    return _sorted(Counter({str(what): n for (when, what), n in counts.items() if when == fault}))


def _by_fault(tally: Tally) -> dict[str, dict[str, int]]:
    """Sum errors and refusals by the kind of fault, whichever database or both."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter[str])
    for (fault, kind), times in tally.errors.items():
        found[fault][kind] += times
    for (fault, status), times in tally.answers.items():
        if status >= 400:
            found[fault][str(status)] += times
    return {fault: _sorted(kinds) for fault, kinds in sorted(found.items())}


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def memory(samples: Sequence[Sample]) -> dict[str, Any]:
    """Fit a slope to the process's last life, after it has warmed up, by least squares."""
    last = [one for one in samples if one.life == samples[-1].life]
    warm = last[int(len(last) * WARM) :]
    megabytes = [one.rss_bytes / MEGABYTE for one in warm]
    return {
        "samples": len(warm),
        "lives": samples[-1].life,
        "first_mb": round(megabytes[0], 1),
        "last_mb": round(megabytes[-1], 1),
        "max_mb": round(max(one.rss_bytes for one in samples) / MEGABYTE, 1),
        "slope_mb_per_hour": _slope([one.at / 3600 for one in warm], megabytes),
        "slope_of_second_half": _slope(
            [one.at / 3600 for one in warm][len(warm) // 2 :], megabytes[len(warm) // 2 :]
        ),
    }


def _slope(hours: Sequence[float], megabytes: Sequence[float]) -> float | None:
    if len(set(hours)) < 2:
        return None
    return round(linear_regression(hours, megabytes).slope, 2)


def drift(timings: Sequence[Timing]) -> dict[str, Any]:
    """The first third of the run's calm against the last third's."""
    third = (timings[-1].at - timings[0].at) / 3
    first = [one.seconds for one in timings if one.at <= timings[0].at + third]
    last = [one.seconds for one in timings if one.at >= timings[-1].at - third]
    return {
        "count": len(timings),
        "median": round(1000 * median(one.seconds for one in timings), 1),
        "first": _p99_ms(first),
        "last": _p99_ms(last),
    }


def _p99_ms(seconds: Sequence[float]) -> float | None:
    if len(seconds) < FEWEST:
        return None
    return round(1000 * sorted(seconds)[int(len(seconds) * 0.99)], 1)


def reckoning(book: Book, found: Sequence[Anomaly]) -> dict[str, Any]:
    """Count what was acknowledged, and how much of it was not kept, by promise."""
    recorders = [one.recorder for _, one in book.conversations() if one.recorder]
    appends = [append for one in recorders for append in one.history.appends]
    known = [append for append in appends if append.positions]
    return {
        "acknowledged": {
            "users": len(list(book.known(*Fate))),
            "deletions": len(list(book.known(Fate.GONE))),
            "conversations": len(recorders),
            "messages": sum(len(append.texts) for append in known),
        },
        "appends_never_answered": len(appends) - len(known),
        "not_kept": {"lost_write": 0, "double_write": 0, "orphan": 0}
        | dict(Counter(one.kind for one in found)),
        "findings": [f"{one.kind}: {one.what[:LONGEST]}" for one in found],
    }


async def erasures(servers: Servers, database: str) -> dict[str, Any]:
    """Measure how long it was from each deletion to its receipt."""
    user = await asyncpg.connect(servers.user.url(database))
    lags = [row[0] for row in await user.fetch(LAGS)]
    user.terminate()
    if not lags:
        return {"count": 0}
    lag = {"median": round(median(lags), 3), "max": round(max(lags), 2)}
    return {"count": len(lags), "lag_seconds": lag}


def sockets(before: dict[str, Held], after: dict[str, Held]) -> dict[str, Any]:
    """Compare what is held when nobody is there: before anything broke, and in the end."""
    return {
        name: {"before": before[name]._asdict(), "after": after[name]._asdict()} for name in before
    }


def events(logs: Iterable[Path], tally: Tally) -> dict[str, Any]:
    """Count the services' log events by what tells them apart; `text` is what is no JSON."""
    found, in_calm = Counter[str](), defaultdict[str, list[float]](list)
    for log in logs:
        with log.open("rb") as lines:
            for line in lines:
                name, request_id = _event(line)
                found[name] += 1
                if "request_failed" in name and request_id in tally.refused_in_calm:
                    in_calm[name].append(tally.refused_in_calm[request_id])
    return {"all": dict(found.most_common()), "refused_in_calm_seconds_after": in_calm}


def _event(line: bytes) -> tuple[str, str]:
    """Give what tells an event apart, and the request it belongs to."""
    try:
        event: dict[str, Any] = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return f"text {line[:100]!r}", ""
    named = (event.get(name) for name in ("level", "event", "status", "error", "sqlstate"))
    text = " ".join(str(one) for one in named if one is not None)
    return text, event.get("request_id", "")
