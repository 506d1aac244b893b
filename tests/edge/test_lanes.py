"""A lane's places and queue are shared out: a caller alone has all, and never keeps others out."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.settings import Settings
from app.edge.lanes import REST, Caller, Company, Lane, LaneName, SaturatedError, lanes_of

PLACES, QUEUE = 8, 4
LOGINS = {"password_hash_threads": 1, "password_hash_queue": 3}
ANN, ABE = Caller("ann", "a"), Caller("abe", "a")
BEA, CAL = Caller("bea", "b"), Caller("cal", "c")
Tasks = list[asyncio.Task[None]]


async def come(lane: Lane, caller: Caller, number: int = 1) -> Tasks:
    """Send requests; a task that has ended is one that was let in, or refused."""
    tasks = [asyncio.create_task(lane.enter(caller)) for _ in range(number)]
    await settled()
    return tasks


async def leave(lane: Lane, caller: Caller, number: int = 1) -> None:
    for _ in range(number):
        lane.leave(caller)
    await settled()


async def settled() -> None:
    """Wait until every task that can has taken its steps."""
    for _ in range(4):
        await asyncio.sleep(0)


def is_inside(tasks: Tasks) -> list[bool]:
    return [task.done() and task.exception() is None for task in tasks]


def refused(tasks: Tasks) -> int:
    return sum(task.done() and isinstance(task.exception(), SaturatedError) for task in tasks)


async def test_a_caller_alone_has_the_whole_lane() -> None:
    lane = Lane(PLACES, QUEUE)
    tasks = await come(lane, ANN, PLACES + QUEUE + 1)
    assert is_inside(tasks) == [True] * PLACES + [False] * (QUEUE + 1)
    assert refused(tasks) == 1
    with pytest.raises(SaturatedError):
        lane.check(ANN)
    await leave(lane, ANN, QUEUE)
    assert sum(is_inside(tasks)) == PLACES + QUEUE


async def test_others_get_in_at_once_whoever_fills_the_lane() -> None:
    """A quarter each, and her colleagues have theirs: what she has beyond hers is hers alone."""
    lane = Lane(PLACES, QUEUE)
    await come(lane, ANN, PLACES + QUEUE)
    for caller in (BEA, CAL, ABE):
        lane.check(caller)
        assert is_inside(await come(lane, caller, 3)) == [True, True, False]


async def test_a_place_goes_to_whoever_has_least_of_their_share() -> None:
    lane = Lane(PLACES, QUEUE)
    await come(lane, ANN, PLACES)
    more = await come(lane, ANN, 2)
    for caller in (BEA, CAL):
        await come(lane, caller, 2)
    waiting = await come(lane, BEA)
    assert is_inside(waiting + more) == [False] * 3
    await leave(lane, ANN, 5)  # seven are inside: three of hers, two of Bea's, two of Cal's
    assert is_inside(waiting + more) == [True, False, False]
    await leave(lane, BEA, 3)
    assert is_inside(more) == [True, True]


async def test_two_tenants_have_half_each_however_many_people_they_are() -> None:
    lane = Lane(PLACES, 4 * PLACES)
    crowd = [Caller(number, "a") for number in range(2 * PLACES)]
    pair = [Caller(name, "b") for name in ("bea", "bob")]
    theirs = [task for person in crowd for task in await come(lane, person)]
    ours = [task for person in pair for task in await come(lane, person, PLACES)]
    for person in crowd[:PLACES]:
        await leave(lane, person)
    assert sum(is_inside(theirs)) - PLACES == sum(is_inside(ours)) == PLACES // 2
    for person in pair:
        await leave(lane, person, PLACES // 4)
    assert sum(is_inside(ours)) == PLACES


async def test_the_caller_with_most_in_the_queue_gives_way() -> None:
    lane = Lane(PLACES, QUEUE)
    hers = await come(lane, ANN, PLACES + QUEUE)
    theirs = await come(lane, BEA, 2 + 1)
    assert (refused(hers), refused(hers[:-1]), refused(theirs)) == (1, 0, 0)
    theirs += await come(lane, BEA)
    assert (refused(hers), refused(theirs)) == (2, 0)
    theirs += await come(lane, BEA)  # by now she waits with as many
    assert (refused(hers), refused(theirs)) == (2, 1)


async def test_alone_again_a_caller_has_all_again() -> None:
    """Whoever came within the last moment comes again, and is not to find the lane full."""
    lane = Lane(PLACES, 2 * PLACES, Company(0.05))
    await come(lane, BEA)
    await leave(lane, BEA)
    hers = await come(lane, ANN, PLACES)
    assert sum(is_inside(hers)) == PLACES // 4
    other = await come(lane, BEA)
    assert is_inside(other) == [True]
    await asyncio.sleep(0.06)
    await leave(lane, ANN)
    assert sum(is_inside(hers)) == PLACES


@pytest.mark.parametrize("name", LaneName)
async def test_no_lane_is_one_callers_while_others_are_there(name: LaneName) -> None:
    """Whichever lane the others are in."""
    sizes = {"request_concurrency": 8, "request_exports": 8, "password_hash_threads": 4}
    lanes = lanes_of(Settings.model_validate(sizes))
    await come(lanes[LaneName.CHAT], BEA)
    hers = await come(lanes[name], ANN, 8)
    assert sum(is_inside(hers)) == 2
    assert refused(hers) == (6 if name is LaneName.EXPORTS else 0)


async def test_a_lane_of_logins_has_room_for_as_many_as_are_hashed_and_wait() -> None:
    lane = lanes_of(Settings.model_validate(LOGINS))[LaneName.LOGINS]
    assert is_inside(tasks := await come(lane, ANN, 5)) == [True] * 2 + [False] * 3
    assert refused(tasks) == 1


async def test_a_whole_share_rests_while_others_are_there() -> None:
    """Four requests at a time, one after the other, would keep the processor busy all the same."""
    lane, loop = Lane(PLACES, QUEUE, Company(60)), asyncio.get_running_loop()
    await come(lane, BEA)
    async with lane.place(ANN):  # half of her share
        began = loop.time()
        async with lane.place(ANN):
            await asyncio.sleep(0.01)
        held = loop.time() - began
        (hers,), (others,) = await come(lane, ANN), await come(lane, CAL)
        assert is_inside([hers, others]) == [False, True]
        await hers
        assert loop.time() - began >= held + REST * 0.01
        lane.leave(ANN)
    assert is_inside(await come(lane, ANN)) == [True]  # half of a share does not rest


async def test_nobody_rests_while_alone() -> None:
    lane = Lane(PLACES, QUEUE, Company())
    tasks = await come(lane, ANN, PLACES - 1)
    async with lane.place(ANN):
        await asyncio.sleep(0.01)
    assert is_inside([*tasks, *await come(lane, ANN)]) == [True] * PLACES


async def test_others_get_into_a_full_lane_without_a_queue() -> None:
    lane = Lane(PLACES, 0)
    assert refused(await come(lane, ANN, PLACES + 1)) == 1
    assert is_inside(await come(lane, BEA)) == [True]


async def test_a_caller_who_gives_up_waiting_takes_no_place() -> None:
    """Neither while it waits, nor when it was let in just then."""
    lane = Lane(1, QUEUE)
    await come(lane, ANN)
    first, second, third = await come(lane, ANN, 3)
    first.cancel()
    await settled()
    lane.leave(ANN)
    second.cancel()
    await settled()
    assert (first.cancelled(), second.cancelled()) == (True, True)
    assert is_inside([third]) == [True]


STEPS = st.lists(st.tuples(st.sampled_from([ANN, ABE, BEA, CAL]), st.sampled_from("+-x")))


@given(steps=STEPS)
async def test_no_place_is_lost_whatever_happens(steps: list[tuple[Caller, str]]) -> None:
    lane, all_of_them = Lane(2, 3), list[tuple[Caller, asyncio.Task[None]]]()
    for caller, step in steps:
        mine = [(who, task) for who, task in all_of_them if who == caller]
        if step == "+":
            all_of_them += [(caller, task) for task in await come(lane, caller)]
        for who, task in [one for one in mine if is_inside([one[1]]) == [step == "-"]][:1]:
            lane.leave(who) if step == "-" else task.cancel()
            all_of_them.remove((who, task))
            await settled()
    while entered := [one for one in all_of_them if is_inside([one[1]]) == [True]]:
        all_of_them.remove(entered[0])
        await leave(lane, entered[0][0])
    assert all(task.done() for _, task in all_of_them)
    assert is_inside(await come(lane, CAL, 3)) == [True, True, False]
