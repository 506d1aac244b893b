"""A large body is read for callers who are known, and none of them holds all memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from app.config.settings import Settings
from app.edge.bodies import BodyMemory
from app.edge.gate import FRESH_SECONDS
from app.edge.lanes import Caller, SaturatedError
from tests.support.factories import Someone, a_message, a_session
from tests.support.log_lines import events
from tests.support.servers import Servers
from tests.support.wire import Service, Wire, bounded, service, wired

MIB = 2**20
PART = b" " * 70_000


def head(path: str, length: int, authorization: str = "", *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", *more]
    lines += ["Content-Type: application/json"]
    lines += [f"Authorization: {authorization}"] if authorization else []
    return "\r\n".join([*lines, "", ""]).encode()


def token(someone: Someone) -> str:
    return someone.http.headers["authorization"]


@bounded
@pytest.mark.parametrize("authorization", ["", "Bearer bic_of_nobody"])
@pytest.mark.parametrize("framed", ["", "Transfer-Encoding: chunked"])
async def test_a_request_without_a_good_token_is_401_before_its_body_is_read(
    servers: Servers, database: str, authorization: str, framed: str
) -> None:
    async with service(servers, database) as it, wired(it.port) as wire:
        request = head("/v1/chat-sessions", 10 * MIB, authorization)
        if framed:
            request = request.replace(f"Content-Length: {10 * MIB}".encode(), framed.encode())
            request += b"%x\r\n" % (10 * MIB)
        await wire.send(request + PART[:60_000])
        assert await wire.status() == 401


@bounded
async def test_a_request_without_a_good_token_is_401_before_100_continue(
    servers: Servers, database: str
) -> None:
    """`Expect: 100-continue` is answered 401, and a caller who is known is told to go on."""
    async with service(servers, database) as it, wired(it.port) as wire, wired(it.port) as hers:
        expect = ("/v1/chat-sessions", MIB)
        await wire.send(head(*expect, "Bearer bic_of_nobody", "Expect: 100-continue"))
        assert await wire.status() == 401
        alice = await it.world.member()
        await hers.send(head(*expect, token(alice), "Expect: 100-continue"))
        assert await hers.status() == 100


@bounded
@pytest.mark.parametrize("size", [100, 100_000])
async def test_the_look_up_before_the_body_serves_the_request(
    servers: Servers, database: str, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async with service(servers, database) as it, wired(it.port) as wire:
        alice = await it.world.member()
        body = json.dumps({"title": "x"}).encode().ljust(size)
        for _ in range(2):
            await wire.send(head("/v1/chat-sessions", size, token(alice)) + body)
            assert await wire.status() == 201
    *_, line = events(capsys.readouterr().err, "request")
    assert line["round_trips_user"] == 1


@bounded
async def test_logins_that_never_end_keep_nobody_out(servers: Servers, database: str) -> None:
    """They could fill all memory, were they as large as they say, or counted at all."""
    async with (
        service(servers, database, request_bodies_max_bytes=200_000) as it,
        AsyncExitStack() as held,
    ):
        alice = await it.world.member()
        for _ in range(20):
            wire = await held.enter_async_context(wired(it.port))
            await wire.send(head("/v1/auth/login", 16_384) + PART[:16_000])
        for _ in range(7):
            wire = await held.enter_async_context(wired(it.port))
            await wire.send(head("/v1/auth/login", 10 * MIB) + PART)
            assert await wire.status() == 413
        session = await a_session(alice)
        await a_message(alice, session["id"], "y" * 100_000)
        await it.world.log_in(alice.username)


@bounded
async def test_one_person_holds_a_quarter_of_the_memory_and_a_tenant_half(
    servers: Servers, database: str
) -> None:
    async with (
        service(servers, database, request_bodies_max_bytes=400_000) as it,
        AsyncExitStack() as stack,
    ):
        people = [await it.world.member() for _ in range(4)]
        stranger = await it.world.tenant_admin("globex")

        async def begin(someone: Someone) -> Wire:
            wire = await stack.enter_async_context(wired(it.port))
            await wire.send(head("/v1/chat-sessions", 100_000, token(someone)) + PART)
            return wire

        held = [await begin(people[0])]
        await until(lambda: arrived(it) == 70_000)
        assert await (await begin(people[0])).status() == 503
        held.append(await begin(people[1]))
        await until(lambda: arrived(it) == 140_000)
        assert await (await begin(people[2])).status() == 503
        held.append(await begin(stranger))
        await until(lambda: arrived(it) == 210_000)
        for wire in held:
            await wire.send(b" " * 30_000)
            assert await wire.status() == 400
        await until(lambda: arrived(it) == 0)
        alone = await stack.enter_async_context(wired(it.port))
        await alone.send(head("/v1/chat-sessions", 300_000, token(people[0])) + b" " * 300_000)
        assert await alone.status() == 400  # read, for all that it is more than a quarter


def test_whoever_sends_too_much_is_refused_as_slowly_as_any_crowd() -> None:
    memory = BodyMemory(Settings.model_validate({"request_bodies_max_bytes": MIB}))
    ann, bea = Caller("ann", "a"), Caller("bea", "b")
    memory.take(ann, MIB // 4, already=0)
    with pytest.raises(SaturatedError, match="for you"):
        memory.take(ann, 1, already=0)
    with pytest.raises(SaturatedError, match="as it can"):
        memory.take(bea, MIB, already=0)


def arrived(it: Service) -> int:
    memory: BodyMemory = it.app.state.gate.memory
    return memory.held_bytes


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  the service has no event for it
        await asyncio.sleep(0)


@bounded
async def test_a_body_that_is_never_finished_gives_its_memory_back(
    servers: Servers, database: str
) -> None:
    async with service(servers, database, request_bodies_max_bytes=150_000) as it:
        alice = await it.world.member()
        async with wired(it.port) as wire:
            await wire.send(head("/v1/chat-sessions", 140_000, token(alice)) + PART)
            await until(lambda: arrived(it) == len(PART))
        await until(lambda: arrived(it) == 0)


@bounded
async def test_slow_bodies_take_no_place_of_a_lane(servers: Servers, database: str) -> None:
    """Neither a small one, which nobody is asked a token for, nor a large one."""
    async with (
        service(servers, database, request_concurrency=1, request_queue=0) as it,
        wired(it.port) as small,
        wired(it.port) as large,
    ):
        alice = await it.world.member()
        await small.send(head("/v1/users", 2000, token(alice)) + b" " * 1000)
        await large.send(head("/v1/users", 200_000, token(alice)) + PART)
        await until(lambda: arrived(it) > 0)
        assert (await alice.http.get("/v1/me")).status_code == 200


@bounded
async def test_a_user_blocked_while_the_body_arrives_is_refused(
    servers: Servers, database: str
) -> None:
    """The look-up before the body serves the request only while it is fresh."""
    async with service(servers, database) as it, wired(it.port) as wire:
        alice, boss = await it.world.member(), await it.world.tenant_admin()
        await wire.send(head("/v1/chat-sessions", len(PART) + 2, token(alice)) + PART)
        await until(lambda: arrived(it) == len(PART))
        assert (await boss.http.post(f"/v1/users/{alice.id}/block")).status_code == 200
        await asyncio.sleep(FRESH_SECONDS)
        await wire.send(b"{}")
        assert await wire.status() == 401
