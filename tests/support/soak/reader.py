"""Readers who do not read: each asks for a long export, takes its beginning, and then nothing."""

from __future__ import annotations

import asyncio
import socket
from random import Random
from uuid import uuid4

from tests.support.proxy import Stream
from tests.support.soak.book import Person
from tests.support.soak.boss import Boss, log_in
from tests.support.soak.caller import Caller
from tests.support.soak.replicas import Replica, until

GIVEN_UP_SECONDS = 60.0
PAUSE_SECONDS = 0.5
BATCHES, MESSAGES, LENGTH = 4, 20, 100_000  # more than two sockets' buffers hold
SMALL_BYTES = 4096


async def prepare(boss: Boss, caller: Caller) -> Person:
    """Somebody who has said a lot."""
    person = await boss.makes()
    await log_in(caller, person.username)
    conversation = person.asks_for()
    body = {"title": conversation.title}
    answer = await caller.known("POST", "/v1/chat-sessions", str(uuid4()), json=body)
    conversation.opened(answer.json()["id"])
    for batch in range(BATCHES):
        texts = [f"{batch} {number} " + "y" * LENGTH for number in range(MESSAGES)]
        for one in person.open_ones():
            await one.append(caller, texts, str(uuid4()))
    return person


async def stalls(replica: Replica, authorization: str, chance: Random) -> str:
    """Tell how it ended. One that waits is waited for by the service for a while only."""
    with socket.socket() as small:
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        small.setblocking(False)
        try:
            address = ("127.0.0.1", replica.port)
            await asyncio.get_running_loop().sock_connect(small, address)
            reader, writer = await asyncio.open_connection(sock=small, limit=SMALL_BYTES)
        except OSError:
            return "refused"
        stream = Stream(reader, writer)
        try:
            return await _stall(stream, replica, authorization, chance)
        finally:
            writer.transport.abort()


async def _stall(stream: Stream, replica: Replica, authorization: str, chance: Random) -> str:
    own_port: int = stream.writer.get_extra_info("sockname")[1]
    head = f"GET /v1/me/export HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n"
    await stream.write(head.encode())
    if not (await stream.read()).startswith(b"HTTP/1.1 200"):
        return "not served"
    end = chance.choice(("left", "reset", "waited"))
    if end == "reset":
        stream.reset()
    if end == "waited":
        await until(lambda: replica.has_closed(own_port), GIVEN_UP_SECONDS, PAUSE_SECONDS)
    return end
