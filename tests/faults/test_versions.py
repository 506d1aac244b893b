"""The checker of versions is checked itself: each broken promise is found out."""

from __future__ import annotations

import pytest

from tests.support.versions import (
    Change,
    Read,
    Rows,
    Said,
    State,
    appended,
    deleted,
    edited,
    faults,
)

A, B, C, D = map(Said, "abcd")
END = State({1: A, 3: D}, 4)
READS = [Read(1, {1: A, 2: B, 3: C}, is_whole=True), Read(2, {3: D}), Read(4, {1: A, 3: D})]


def history() -> list[Change]:
    effects = [
        appended([A, B, C], [1, 2, 3]),
        edited(3, D),
        deleted(2, 2, 1),
        appended([B], [4]),
        deleted(4, None, 1),
    ]
    return [
        Change(began=2 * n, ended=2 * n + 3, version=n, effect=effect)
        for n, effect in enumerate(effects, 1)
    ]


def test_what_one_order_explains_has_no_faults() -> None:
    changes = history()
    changes[1].expected = 1
    assert faults(changes[::-1], READS, END) == []


def broken(place: int, **values: object) -> list[Change]:
    changes = history()
    for name, value in values.items():
        setattr(changes[place], name, value)
    return changes


@pytest.mark.parametrize(
    "changes",
    [
        broken(3, effect=appended([B], [3])),  # given twice
        broken(3, effect=appended([B], [5])),  # a gap
        broken(1, effect=edited(7, D)),
        broken(2, effect=deleted(2, 2, 0)),
        broken(4, effect=deleted(4, None, 2)),
        broken(1, expected=0),  # overwrites what it has not seen
        broken(1, version=1),  # two have won
        broken(0, began=9, ended=12),
        history()[:-1],
    ],
)
def test_a_broken_promise_is_found_out(changes: list[Change]) -> None:
    assert faults(changes, READS, END) != []


@pytest.mark.parametrize(
    "read",
    [
        Read(2, {3: C}),  # of before
        Read(2, {3: Said("cd")}),  # a mixture
        Read(3, {2: B}),
        Read(3, {1: A}, is_whole=True),
        Read(9, Rows()),
    ],
)
def test_what_was_never_there_is_found_out(read: Read) -> None:
    assert faults(history(), [read], END) != []


@pytest.mark.parametrize("end", [State({1: A, 3: D}, 3), State({1: A}, 4), State({1: A, 3: C}, 4)])
def test_another_end_is_found_out(end: State) -> None:
    assert faults(history(), READS, end) != []
