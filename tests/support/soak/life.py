"""A person's life: logs in, talks, reads, is blocked at times; stays or is deleted in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from uuid import uuid4

import msgspec

from app.http.idempotency import HEADER
from tests.support.factories import PASSWORD
from tests.support.history import Read
from tests.support.recorder import Recorder, new_messages
from tests.support.soak.book import Fate, Person
from tests.support.soak.boss import ONLY_ASKED, Boss, log_in, log_out
from tests.support.soak.caller import Caller, Gone

numbers = count(1)
FEWEST_ACTS, MOST_ACTS = 10, 40
MOST_CONVERSATIONS = 4
THINKS_SECONDS = 0.1  # twice this at most, between two acts: people are not in a hurry
SOME, LONG = 0.02, 20_000  # so many texts have up to so many characters
PAGE = 100


class Life:
    def __init__(self, person: Person, caller: Caller, boss: Boss) -> None:
        self.person = person
        self.caller = caller
        self.boss = boss
        self.chance = caller.chance
        self.tally = caller.tally
        self.acts: dict[Callable[[], Awaitable[None]], int] = {
            self.opens: 3,
            self.says: 12,
            self.says_much: 5,
            self.argues: 3,
            self.reads: 10,
            self.lists: 3,
            self.renames: 3,
            self.exports: 2,
            self.closes: 1,
            self.looks: 3,
            self.logs_in_anew: 1,
            self.is_blocked_for_a_while: 1,
        }

    async def live(self, over: asyncio.Event) -> None:
        await log_in(self.caller, self.person.username)
        await self.opens()
        acts, weights = list(self.acts), list(self.acts.values())
        for _ in range(self.chance.randint(FEWEST_ACTS, MOST_ACTS)):
            if over.is_set():
                break
            (act,) = self.chance.choices(acts, weights)
            self.tally.acts[act.__name__] += 1
            await act()
            await asyncio.sleep(2 * self.chance.random() * THINKS_SECONDS)
        await self.ends()

    async def ends(self) -> None:
        (end,) = self.chance.choices((self.stays, self.is_deleted, self.deletes_itself), (2, 5, 2))
        self.tally.acts[end.__name__] += 1
        await end()

    async def opens(self) -> None:
        conversation = self.person.asks_for()
        body = {"title": conversation.title}
        if self.chance.random() < 0.2:  # without a key: it may be there, or not
            answer = await self.caller.once("POST", "/v1/chat-sessions", json=body)
        else:
            key = str(uuid4())
            answer = await self.caller.known("POST", "/v1/chat-sessions", key, json=body)
        if answer:
            conversation.opened(answer.json()["id"])

    def one(self) -> Recorder | None:
        open_ones = self.person.open_ones()[-MOST_CONVERSATIONS:]
        return self.chance.choice(open_ones) if open_ones else None

    async def says(self) -> None:
        if one := self.one():
            await self._append(one, 1)

    async def says_much(self) -> None:
        if one := self.one():
            await self._append(one, self.chance.randint(2, 20))

    async def argues(self) -> None:
        """Several at once, each through any replica."""
        if one := self.one():
            await asyncio.gather(*(self._append(one, size) for size in (1, 1, 3)))

    async def _append(self, one: Recorder, size: int) -> None:
        """With a key, or once; now and then repeats the request when its answer is known."""
        texts = [self._text() for _ in range(size)]
        key = str(uuid4()) if self.chance.random() < 0.6 else None
        await one.append(self.caller, texts, key)
        if key and self.chance.random() < 0.1:
            await self._replays(one, texts, key)

    async def _replays(self, one: Recorder, texts: list[str], key: str) -> None:
        path, body = new_messages(one, texts)
        answer = (await self.caller.known("POST", path, key, json=body)).json()
        first = next(append for append in one.history.appends if append.texts is texts)
        if [item["position"] for item in answer.get("items", [answer])] != first.positions:
            self.tally.surprised(f"a retry was answered otherwise than {first.positions}")

    def _text(self) -> str:
        """Some are long. What the logs are searched for is in each."""
        length = self.chance.randrange(LONG) if self.chance.random() < SOME else 0
        return f"a distinctive message text {next(numbers)} \u2603" + "x" * length

    async def reads(self) -> None:
        if one := self.one():
            await one.read(self.caller)
            await one.read_pages(self.caller)

    async def renames(self) -> None:
        if one := self.one():
            await one.rename(self.caller)

    async def lists(self) -> None:
        """All that was acknowledged is in it."""
        known = {one.session_id for one in self.person.open_ones()}
        seen, after = set[str](), ""
        while True:
            path = f"/v1/chat-sessions?limit={self.chance.randint(1, PAGE)}{after}"
            answer = await self.caller.once("GET", path)
            if answer is None:
                return
            page = answer.json()
            seen |= {one["id"] for one in page["items"]}
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        if known - seen:
            self.tally.surprised(f"a list lacks {known - seen}")

    async def exports(self) -> None:
        """All that was acknowledged is in it, or it is seen to have ended early."""
        caller, path = self.caller, "/v1/me/export"
        if self.chance.random() < 0.3:
            caller, path = self.boss.caller, f"/v1/users/{self.person.id}/export"
        reads = [(one, Read(began=one.now())) for one in self.person.open_ones()]
        if answer := await caller.once("GET", path):
            self._exported(answer.content, reads)

    def _exported(self, lines: bytes, reads: list[tuple[Recorder, Read]]) -> None:
        items = [msgspec.json.decode(line) for line in lines.splitlines()]
        named = {item["id"] for item in items if item["type"] == "chat_session"}
        for one, read in reads:
            if one.session_id not in named:
                self.tally.surprised(f"an export lacks {one.session_id}")
            ours = [item for item in items if item.get("session_id") == one.session_id]
            read.rows = {item["position"]: item["content"] for item in ours}
            read.newest, read.ended = max(read.rows, default=0), one.now()
            one.history.reads.append(read)

    async def closes(self) -> None:
        """404 says so, too: an answer before it was lost."""
        (*_, last) = [one for one in self.person.conversations if one.recorder] or [None]
        if last is None or last.recorder is None or last.fate is not Fate.STAYS:
            return
        last.fate, self.caller.gone = Fate.UNSURE, frozenset({404})
        try:
            await self.caller.known("DELETE", last.recorder.path)
        except Gone:
            self.tally.acts["closings answered 404"] += 1
        finally:
            self.caller.gone = frozenset()
        last.fate = Fate.GONE

    async def looks(self) -> None:
        me = await self.caller.known("GET", "/v1/me")
        if me.json()["id"] != self.person.id:
            self.tally.surprised("somebody was shown somebody else")
        await self.boss.looks(self.person)
        if self.chance.random() < ONLY_ASKED:
            await self.boss.only_asks()

    async def logs_in_anew(self) -> None:
        await log_out(self.caller)
        await log_in(self.caller, self.person.username)

    async def is_blocked_for_a_while(self) -> None:
        await self.boss.blocks(self.person, self.caller)
        await self.boss.unblocks(self.person)
        await log_in(self.caller, self.person.username)

    async def stays(self) -> None:
        """Delete the conversation for good."""

    async def is_deleted(self) -> None:
        """While they write."""
        writing = [asyncio.create_task(self._writes_on()) for _ in range(2)]
        await self.boss.deletes(self.person)
        await asyncio.gather(*writing)
        await self._is_gone()

    async def _writes_on(self) -> None:
        """Write until nobody is there any more. What is written then is nobody's."""
        self.caller.gone = frozenset({401, 404})
        path = "/v1/chat-sessions"
        try:
            while True:
                conversation = self.person.asks_for()
                body = {"title": conversation.title}
                answer = await self.caller.known("POST", path, str(uuid4()), json=body)
                late = f"{path}/{answer.json()['id']}/messages"
                message = {"role": "user", "content": self._text()}
                await self.caller.once("POST", late, json=message, headers={HEADER: str(uuid4())})
        except Gone:
            pass

    async def deletes_itself(self) -> None:
        """401 says so, too: an answer before it was lost."""
        self.person.fate, self.caller.gone = Fate.UNSURE, frozenset({401})
        body = {"current_password": PASSWORD}
        try:
            await self.caller.known("POST", "/v1/me/erasure", json=body)
        except Gone:
            self.tally.acts["erasures answered 401"] += 1
        self.person.fate = Fate.GONE
        await self._is_gone()

    async def _is_gone(self) -> None:
        if not await self.caller.is_refused("/v1/me"):
            self.tally.surprised("a token was good after its user was deleted")
        await self.boss.looks_at_erasure(self.person)
