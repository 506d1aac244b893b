"""The checker of histories is checked itself: each broken promise is found out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.history import (
    CHECKS,
    Append,
    Edit,
    History,
    Read,
    Rename,
    Stored,
    anomalies,
    lost_edit,
)

ROWS = [(1, "a"), (2, "b"), (3, "c")]
UNKNOWN = [(4, "u1"), (5, "u2")]
Breaks = Callable[[History], Stored]


def a_history() -> History:
    """A batch and two titles, and one of each whose answer was lost."""
    return History(
        appends=[
            Append(began=1, ended=2, texts=["a"], positions=[1]),
            Append(began=3, ended=6, texts=["b", "c"], positions=[2, 3]),
            Append(began=7, texts=["u1", "u2"]),
        ],
        renames=[
            Rename(began=0, ended=0, title="first"),
            Rename(began=4, ended=8, title="second"),
            Rename(began=9, title="third"),
        ],
        reads=[
            Read(began=3, ended=5, newest=1, rows={1: "a"}, title="first"),
            Read(began=9, ended=10, newest=3, rows={2: "b", 3: "c"}, title="second"),
        ],
    )


@pytest.mark.parametrize("rows", [ROWS, ROWS + UNKNOWN])
@pytest.mark.parametrize("title", ["second", "third"])
def test_a_write_that_was_never_acknowledged_may_be_there(
    rows: list[tuple[int, str]], title: str
) -> None:
    assert anomalies(a_history(), Stored(rows, title, len(rows))) == []


def test_a_read_may_show_a_write_that_was_never_acknowledged() -> None:
    history = a_history()
    history.reads.append(Read(began=11, ended=12, newest=5, rows=dict(UNKNOWN), title="third"))
    assert anomalies(history, Stored(ROWS + UNKNOWN, "third", 5)) == []


def edits(history: History) -> History:
    """One that was acknowledged, and one whose answer was lost."""
    history.edits += [
        Edit(began=7, ended=8, position=1, text="a2"),
        Edit(began=9, position=1, text="a3"),
    ]
    return history


@pytest.mark.parametrize("text", ["a2", "a3"])
def test_an_edit_is_seen_once_it_was_acknowledged_and_perhaps_before(text: str) -> None:
    history = edits(a_history())
    history.reads += [
        Read(began=7, ended=12, newest=3, rows={1: "a"}, title="first"),
        Read(began=7, ended=13, newest=3, rows={1: "a2"}, title="second"),
    ]
    assert anomalies(history, Stored([(1, text), *ROWS[1:]], "second", 3)) == []


def edited(text: str, *reads: Read) -> Breaks:
    def breaks(history: History) -> Stored:
        edits(history).reads += reads
        return Stored([(1, text), *ROWS[1:]], "second", 3)

    return breaks


def stored(rows: list[tuple[int, str]], title: str = "second", more: int = 0) -> Breaks:
    return lambda _: Stored(rows, title, len(rows) + more)


def swapped(history: History) -> Stored:
    history.appends[0].positions, history.appends[1].positions = [3], [1, 2]
    return Stored([(1, "b"), (2, "c"), (3, "a")], "second", 3)


def also_read(read: Read, *more: tuple[int, str], title: str = "second") -> Breaks:
    def breaks(history: History) -> Stored:
        history.reads.append(read)
        return Stored([*ROWS, *more], title, len(ROWS) + len(more))

    return breaks


def shown_less_later(history: History) -> Stored:
    history.reads.append(Read(began=11, ended=12, newest=5))
    history.reads.append(Read(began=13, ended=14, newest=3))
    return Stored(ROWS + UNKNOWN, "second", 5)


BROKEN: list[tuple[str, Breaks]] = [
    ("lost_write", stored(ROWS[:1])),
    ("lost_write", stored([(1, "a"), (2, "c"), (3, "b")])),
    ("double_write", stored([*ROWS, *UNKNOWN, (6, "u1"), (7, "u2")])),
    ("unknown_write", stored([*ROWS, (4, "x")])),
    ("torn_write", stored([*ROWS, (4, "u1")])),
    ("torn_write", stored([*ROWS, (4, "u2"), (5, "u1")])),
    ("gap", stored([*ROWS, (5, "u1"), (6, "u2")])),
    ("gap", stored(ROWS, more=1)),
    ("disorder", swapped),
    ("dirty_read", also_read(Read(began=11, ended=12, newest=5, rows=dict(UNKNOWN)))),
    ("dirty_read", also_read(Read(began=11, ended=12, newest=5))),
    ("torn_page", also_read(Read(began=11, ended=12, newest=3, rows={1: "a", 3: "c"}))),
    ("stale_read", also_read(Read(began=11, ended=12, newest=1, rows={1: "a"}))),
    ("stale_read", shown_less_later),
    ("lost_edit", edited("a")),
    ("lost_edit", edited("nobody's")),
    ("lost_edit", edited("a2", Read(began=9, ended=10, newest=3, rows={1: "a"}))),
    ("lost_edit", edited("a2", Read(began=10, ended=11, newest=3, rows={1: "a3"}))),
    ("dirty_read", edited("a2", Read(began=10, ended=11, newest=3, rows={1: "a2", 3: "d"}))),
    ("lost_update", stored(ROWS, "first")),
    ("lost_update", stored(ROWS, "nobody's")),
    ("lost_update", also_read(Read(began=11, ended=12, newest=3, title="first"))),
    ("lost_update", also_read(Read(began=11, ended=12, newest=3, title="third"))),
]


@pytest.mark.parametrize(("kind", "breaks"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_promise_is_found_out(kind: str, breaks: Breaks) -> None:
    history = a_history()
    assert kind in {one.kind for one in anomalies(history, breaks(history))}


def test_each_check_has_a_history_that_it_finds_out() -> None:
    assert {kind for kind, _ in BROKEN} == {check.__name__ for check in (*CHECKS, lost_edit)}
