"""The benchmark's verdict; the benchmark itself is run by hand (tests/benchmarks/README.md)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.benchmarks.contestants import OUR_NAME, SQLALCHEMY
from tests.benchmarks.goals import verdicts
from tests.benchmarks.measure import Sample
from tests.benchmarks.report import judge


def rounds(contestant: str, rates: Sequence[float], p99_ms: float) -> list[Sample]:
    return [
        Sample("session", contestant, number, rate, 1, p99_ms, 1, 1, 1)
        for number, rate in enumerate(rates)
    ]


@pytest.mark.parametrize(
    ("rates", "p99_ms", "met"),
    [((250, 500, 750), 4, 2), ((240, 500, 700), 4, 1), ((250, 500, 750), 5, 1)],
    ids=["both", "too slow within the rounds", "p99 not under half"],
)
def test_a_missed_goal_is_said(
    rates: Sequence[float], p99_ms: float, met: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine's speed trebles meanwhile: only ratios within a round tell anything."""
    theirs = rounds(SQLALCHEMY, (100, 200, 300), 10)
    found = list(verdicts(rounds(OUR_NAME, rates, p99_ms) + theirs))
    assert judge(found) is (met == 2)
    assert f"{met} of 2 goals met" in capsys.readouterr().out


def test_what_was_not_measured_has_no_goal() -> None:
    assert list(verdicts(rounds(OUR_NAME, (1,), 1))) == []
