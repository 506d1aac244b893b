"""Whoever administers a tenant: makes people, blocks them, deletes them, and looks."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from tests.support.factories import PASSWORD
from tests.support.soak.book import Book, Fate, Person
from tests.support.soak.caller import Caller, Gone

ONLY_ASKED = 0.1  # of all people so many are asked for once, without a key, and not looked after


class Boss:
    def __init__(self, caller: Caller, book: Book, tenant: str) -> None:
        self.caller = caller
        self._book = book
        self.tenant = tenant

    async def makes(self, *roles: str) -> Person:
        """With a key, so until it is known; now and then repeats the request when it is."""
        person = self._book.asks_for(self.tenant)
        key = str(uuid4())
        body = self._body(person, *roles)
        first = await self.caller.known("POST", "/v1/users", key, json=body)
        made = first.json()
        person.id, person.tenant_id = made["id"], made["tenant_id"]
        if self.caller.chance.random() < 0.1:
            again = await self.caller.known("POST", "/v1/users", key, json=body)
            if again.content != first.content:
                self.caller.tally.surprised("a user's creation was answered otherwise")
        return person

    async def only_asks(self) -> None:
        """No key: they may be there, or not."""
        person = self._book.asks_for(self.tenant, "asked")
        if answer := await self.caller.once("POST", "/v1/users", json=self._body(person)):
            person.id, person.tenant_id = answer.json()["id"], answer.json()["tenant_id"]

    def _body(self, person: Person, *roles: str) -> dict[str, object]:
        email = f"{person.own_name}@{self.tenant}.example.org"
        body: dict[str, object] = {"username": person.username, "email": email}
        return body | {"password": PASSWORD} | ({"roles": roles} if roles else {})

    async def blocks(self, person: Person, theirs: Caller) -> None:
        """Their token is refused everywhere from the answer on."""
        person.is_blocked = None
        await self.caller.known("POST", f"/v1/users/{person.id}/block", json={"reason": "spam"})
        person.is_blocked = True
        if not await theirs.is_refused("/v1/me"):
            self.caller.tally.surprised("a token was good after its user was blocked")

    async def unblocks(self, person: Person) -> None:
        person.is_blocked = None
        await self.caller.known("POST", f"/v1/users/{person.id}/unblock")
        person.is_blocked = False

    async def deletes(self, person: Person) -> None:
        """404 says so, too: an answer before it was lost."""
        person.fate = Fate.UNSURE
        self.caller.gone = frozenset({404})
        try:
            await self.caller.known("DELETE", f"/v1/users/{person.id}")
        except Gone:
            self.caller.tally.acts["deletions answered 404"] += 1
        finally:
            self.caller.gone = frozenset()
        person.fate = Fate.GONE

    async def looks_at_erasure(self, person: Person) -> None:
        await self.caller.known("GET", f"/v1/erasures/{person.id}")
        await self.caller.once("GET", "/v1/erasures?limit=20")

    async def looks(self, person: Person) -> None:
        await self.caller.once("GET", "/v1/users?limit=50")
        seen = await self.caller.known("GET", f"/v1/users/{person.id}")
        if seen.json()["username"] != person.username:
            self.caller.tally.surprised("somebody else was shown")


async def log_in(caller: Caller, username: str) -> None:
    body = {"username": username, "password": PASSWORD}
    answer = await caller.known("POST", "/v1/auth/login", json=body)
    caller.authorization = f"Bearer {answer.json()['access_token']}"


async def log_out(caller: Caller) -> None:
    """A retry may find that the token has ended."""
    caller.gone = frozenset({401})
    try:
        await caller.known("POST", "/v1/auth/logout")
    except Gone:
        await asyncio.sleep(0)
    finally:
        caller.gone = frozenset()
    if not await caller.is_refused("/v1/me"):
        caller.tally.surprised("a token was good after its logout")
