"""Clients of one conversation that write down what they do and see, as a History."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import httpx

from app.http.idempotency import HEADER
from tests.support.history import Append, Edit, History, Read, Rename, Stored
from tests.support.opened import Opener

ANSWER_SECONDS = 10  # a client's patience
PAUSE_SECONDS = 0.02  # after a refusal: clients that are refused at once would do nothing else
UNSURE = (409, 503)  # 409: the first request with this key is still running
PAGE = 20
NEWEST = 3  # messages are edited, so that several writers meet in each
numbers = count(1)


class Asks(Protocol):
    """A client of httpx, or whoever asks through several."""

    def request(self, *args: Any, **what: Any) -> Awaitable[httpx.Response]: ...


@dataclass
class Recorder:
    address: str
    authorization: str
    session_id: str
    history: History = field(default_factory=History)
    answers: Counter[str] = field(default_factory=Counter[str])
    seconds: list[float] = field(default_factory=list[float])
    _positions: list[int] = field(default_factory=list[int])
    _acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    _is_over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def path(self) -> str:
        return f"/v1/chat-sessions/{self.session_id}"

    def now(self) -> int:
        return next(self.history.clock)

    async def gets_on(self, times: int = 5) -> None:
        """Wait until so many more writes have been acknowledged."""
        for _ in range(times):
            self._acknowledged.clear()
            await self._acknowledged.wait()

    async def append(self, http: Asks, texts: list[str], key: str | None) -> None:
        """With a key again and again, until the answer is known."""
        append = Append(began=self.now(), texts=texts)
        self.history.appends.append(append)
        path, body = new_messages(self, texts)
        headers = {HEADER: key} if key else {}
        answer = await self._send(http, "POST", path, json=body, headers=headers)
        while answer is None and key:
            answer = await self._send(http, "POST", path, json=body, headers=headers)
        if answer is not None:
            append.positions = [one["position"] for one in answer.get("items", [answer])]
            append.ended = self.now()
            self._positions += append.positions
            self._acknowledged.set()

    async def edit(self, http: Asks) -> None:
        """Say something else in one of the newest messages, which others edit as well."""
        position = self._positions[-1 - next(numbers) % NEWEST]
        edit = Edit(began=self.now(), position=position, text=f"edited {next(numbers)}")
        self.history.edits.append(edit)
        path = f"{self.path}/messages/{position}"
        if await self._send(http, "PATCH", path, json={"content": edit.text}):
            edit.ended = self.now()

    async def rename(self, http: Asks) -> None:
        rename = Rename(began=self.now(), title=f"title {next(numbers)}")
        self.history.renames.append(rename)
        if await self._send(http, "PATCH", self.path, json={"title": rename.title}):
            rename.ended = self.now()

    async def read(self, http: Asks) -> None:
        began = self.now()
        if seen := await self._send(http, "GET", self.path):
            read = Read(began=began, newest=seen["message_count"], title=seen["title"])
            self._showed(read)

    async def read_pages(self, http: Asks) -> None:
        """The newest two, which must fit together whatever is written meanwhile."""
        read, after = Read(began=self.now()), dict[str, str]()
        for _ in range(2):
            params = {"limit": str(PAGE), **after}
            page = await self._send(http, "GET", f"{self.path}/messages", params=params)
            if page is None:
                return
            read.rows |= {one["position"]: one["content"] for one in page["items"]}
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        read.newest = max(read.rows, default=0)
        self._showed(read)

    def _showed(self, read: Read) -> None:
        read.ended = self.now()
        self.history.reads.append(read)

    async def _send(self, http: Asks, method: str, path: str, **what: Any) -> dict[str, Any] | None:
        """None: nobody knows whether it was done."""
        began = time.perf_counter()
        try:
            answer = await http.request(method, path, **what)
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            await asyncio.sleep(PAUSE_SECONDS)
            return None
        self.answers[str(answer.status_code)] += 1
        if answer.status_code in UNSURE:
            assert answer.status_code != 503 or int(answer.headers["retry-after"]) >= 1
            await asyncio.sleep(PAUSE_SECONDS)
            return None
        assert answer.is_success, answer.text
        self.seconds.append(time.perf_counter() - began)
        return answer.json()

    async def appends(self, size: int, *, keyed: bool) -> None:
        async with self._client() as http:
            while not self._is_over.is_set():
                texts = [f"text {next(numbers)}" for _ in range(size)]
                await self.append(http, texts, texts[0] if keyed else None)

    async def reads(self) -> None:
        async with self._client() as http:
            while not self._is_over.is_set():
                await self.read(http)
                await self.read_pages(http)

    async def edits(self) -> None:
        await self.gets_on(NEWEST)
        async with self._client() as http:
            while not self._is_over.is_set():
                await self.edit(http)

    async def renames(self) -> None:
        async with self._client() as http:
            while not self._is_over.is_set():
                await self.rename(http)

    def _client(self) -> httpx.AsyncClient:
        headers = {"Authorization": self.authorization}
        return httpx.AsyncClient(base_url=self.address, headers=headers, timeout=ANSWER_SECONDS)

    def end(self) -> None:
        self._is_over.set()


def new_messages(one: Recorder, texts: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the path they go to, and the body."""
    items = [{"role": "user", "content": text} for text in texts]
    if len(items) == 1:
        return f"{one.path}/messages", items[0]
    return f"{one.path}/messages/batch", {"messages": items}


@asynccontextmanager
async def recording(
    address: str, authorization: str, session: dict[str, Any]
) -> AsyncGenerator[Recorder]:
    """Clients at work until the block ends; then each is through with what it was at."""
    recorder = Recorder(address, authorization, session["id"])
    recorder.history.renames.append(Rename(began=0, ended=0, title=session["title"]))
    async with asyncio.TaskGroup() as group:
        for size, keyed in ((1, False), (1, True), (3, False), (3, True)):
            group.create_task(recorder.appends(size, keyed=keyed))
        for work in (recorder.reads, recorder.renames, recorder.edits):
            group.create_task(work())
            group.create_task(work())
        yield recorder
        recorder.end()


async def stored(opener: Opener, session_id: str) -> Stored:
    """Read the conversation past the service."""
    session = await opener.session(session_id)
    rows = [(row.position, row.content) for row in await opener.messages(session_id)]
    return Stored(rows, session.title, session.message_count)
