"""People's first keys, and what a process must know before it may serve.

A person's key is committed in the user database before anything is sealed under it, and the general
database records its id in `owners.key_id` with the first sealed write:

(a) `key_of` looks for a key, since another request may have made it meanwhile.
(b) It reads the owner's row. One that names a key which (a) did not find tells of a user database
    that was restored or promoted too old: a second key would lose whatever the first one sealed.
    An owner without a key has plain rows.
(c) It commits a new key. Of those who arrive here together one wins, and all return its key.

A process that dies after (c) leaves a key that has sealed nothing: the next request finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.accounts.wrapped_keys import WrappedKeys
from app.bridge.rows import fetch_value
from app.config.settings import Settings, SettingsError
from app.databases.causes import is_passing, sqlstate
from app.databases.database import Databases
from app.databases.sealing.master_keys import KeyUnavailableError, MasterKeys, WrappedKey
from app.databases.sealing.sealing import Sealing

IS_NEW = text("SELECT nothing_was_said()")
OWNER = text("SELECT key_id FROM owners WHERE tenant_id = :tenant_id AND user_id = :user_id")
KEEP_DAYS = text("SELECT keep_backup_days(:user_days, :general_days)")
AT_ONCE = timedelta()
Advance = Callable[[], None]  # called for each row or key that is done
NOT_MIGRATED = "42883"  # there is no such function yet


class RecordedKey(NamedTuple):
    """An owner's row names the key that their rows are sealed under; None where all are plain."""

    key_id: UUID | None


class Keys:
    """Makes people's keys, and checks the master keys. It is the KeyStore that Sealing asks."""

    def __init__(self, settings: Settings, databases: Databases) -> None:
        self._settings = settings
        self._databases = databases
        self.master_keys = MasterKeys(settings.read_seal_keys())
        self.sealing = Sealing(self.master_keys, self)

    async def check(self) -> None:
        """Raises SettingsError where a master key that is in use is not known here.

        It does not wait for a database that is away, or not migrated yet: whoever needs a key
        later is answered 503 instead.
        """
        try:
            await self.check_in_use()
            await self._keep_days()
            if self.master_keys.active is not None:
                await self.begin_if_new()
        except KeyUnavailableError:
            raise SettingsError(f"{self._variable}: a key that is in use is not there") from None
        except Exception as error:
            if not (is_passing(error) or sqlstate(error)[0] == NOT_MIGRATED):
                raise

    async def begin_if_new(self) -> bool:
        """Begin to seal where nobody has ever said anything; tell whether it has begun."""
        async with self._databases.user.session() as session:
            if (await WrappedKeys(session).state()).is_on:
                return True
        if not await fetch_value(self._databases.general, IS_NEW):
            return False
        await self.begin(AT_ONCE)
        return True

    async def begin(self, settling: timedelta | None) -> bool:
        """Seal whatever is written from the commit on. False if it was sealed before.

        Plain rows may come for as long as `settling`; where that is None, until it is settled.
        """
        async with self._databases.user.session() as session:
            keys = WrappedKeys(session)
            await keys.use(self.master_keys)
            return await keys.begin(settling)

    async def key_of(self, tenant_id: UUID, user_id: UUID) -> WrappedKey:
        """Return a person's wrapped key; where there is none, make and commit it first."""
        async with self._databases.user.session(tenant_id) as session:
            if key := await WrappedKeys(session).find(tenant_id, user_id):
                return key
        owner = await self._owner(tenant_id, user_id)
        async with self._databases.user.session(tenant_id) as session:
            keys = WrappedKeys(session)
            if owner is not None and owner.key_id is not None:
                return await _found(keys, tenant_id, user_id)
            await keys.use(self.master_keys)
            new = self.master_keys.new_key(tenant_id, user_id)
            return await keys.keep(tenant_id, user_id, new, was_plain=owner is not None)

    async def _owner(self, tenant_id: UUID, user_id: UUID) -> RecordedKey | None:
        """Read the owner's row; None for somebody who has none."""
        values = {"tenant_id": tenant_id, "user_id": user_id}
        async with self._databases.general.session(tenant_id) as session:
            row = (await session.execute(OWNER, values)).one_or_none()
            return None if row is None else RecordedKey(row[0])

    async def check_in_use(self) -> None:
        """Raises SettingsError that names a master key which is in use and not known here."""
        async with self._databases.user.session() as session:
            for master_id, proof in await WrappedKeys(session).in_use():
                self._check_proof(master_id, proof)

    async def _keep_days(self) -> None:
        days = {
            "user_days": self._settings.user_backup_kept_days,
            "general_days": self._settings.general_backup_kept_days,
        }
        async with self._databases.user.session() as session:
            await session.execute(KEEP_DAYS, days)

    def _check_proof(self, master_id: str, proof: bytes) -> None:
        if master_id not in self.master_keys:
            raise SettingsError(
                f"{self._variable}: the master key `{master_id}` is in use and is not there"
            )
        if not self.master_keys.proves(master_id, proof):
            raise SettingsError(
                f"{self._variable}: the master key `{master_id}` is another than the one in use"
            )

    @property
    def _variable(self) -> str:
        return "SEAL_KEYS_FILE" if self._settings.seal_keys_file else "SEAL_KEYS"


async def _found(keys: WrappedKeys, tenant_id: UUID, user_id: UUID) -> WrappedKey:
    key = await keys.find(tenant_id, user_id)
    if key is None:
        raise KeyUnavailableError
    return key
