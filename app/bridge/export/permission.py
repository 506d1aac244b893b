"""Watches whether an export may still go on: a block holds for what is under way, too."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from app.accounts.authority import check_rank
from app.accounts.models import User
from app.accounts.tokens import CredentialLookup
from app.accounts.users import UserService
from app.databases.database import Database
from app.databases.sessions import UserSession
from app.http.errors import Forbidden, NotFound, Problem
from app.http.security import ADMINISTRATORS, Principal
from app.telemetry import log

LOOK_UP_SECONDS = 1.0
# A user database that is away for a moment ends no export; one away for longer may know of a block.
LONGEST_UNKNOWN_SECONDS = 5.0


class RevokedError(Exception):
    """The export's reader may not have it any more, or there is nobody left to export."""


class Permission:
    """An actor's permission to read a subject's data, as of the last look-up."""

    def __init__(
        self, tokens: CredentialLookup, user: Database[UserSession], actor: Principal, subject: User
    ) -> None:
        self._tokens = tokens
        self._user = user
        self._actor = actor
        self._subject_id = subject.id
        self._was_blocked = subject.is_blocked
        self._known_at = time.monotonic()
        self._asked = asyncio.Queue[asyncio.Future[None]]()

    async def confirm(self) -> None:
        """Return when `watch` has looked it up anew; where it is gone, that ends the answer."""
        looked_up = asyncio.get_running_loop().create_future()
        self._asked.put_nowait(looked_up)
        await looked_up

    async def watch(self) -> None:
        """Look it up when asked and once a second, until cancelled; raise RevokedError when it is
        gone.
        """
        while True:
            looked_up = None
            with suppress(TimeoutError):
                looked_up = await asyncio.wait_for(self._asked.get(), LOOK_UP_SECONDS)
            await self._check()
            if looked_up and not looked_up.cancelled():
                looked_up.set_result(None)

    async def _check(self) -> None:
        try:
            await self._look_up()
        except Problem as problem:
            self._revoke(type(problem).__name__)
        except Exception as error:  # noqa: BLE001  the next look-up may tell
            if time.monotonic() > self._known_at + LONGEST_UNKNOWN_SECONDS:
                self._revoke(type(error).__name__)

    async def _look_up(self) -> None:
        """Raises Unauthenticated for a token that ended or a blocked actor, Forbidden for one who
        was demoted or whose subject is above them now, NotFound for a subject who was deleted or
        blocked meanwhile.
        """
        actor = await self._tokens.again(self._actor)
        if actor.user_id != self._subject_id:
            if actor.key_id is None and actor.roles.isdisjoint(ADMINISTRATORS):
                raise Forbidden
            async with self._user.session(actor.tenant_id) as session:
                subject = await UserService(session).one(actor, self._subject_id)
            check_rank(actor, subject)
            if subject.is_blocked and not self._was_blocked:
                raise NotFound
        self._known_at = time.monotonic()

    def _revoke(self, reason: str) -> None:
        log.warning(
            "export_revoked",
            user_id=self._actor.person_id,
            actor=self._actor.actor_id,
            subject_id=self._subject_id,
            reason=reason,
        )
        raise RevokedError from None
