"""People change and erase their own account, and say their password once more."""

from __future__ import annotations

from app.accounts.login import Login
from app.accounts.models import SubjectLedger, User
from app.accounts.passwords import Passwords, own_names
from app.accounts.users import UserService
from app.databases.database import Databases
from app.http.errors import Conflict
from app.http.security import Principal


class OwnAccount:
    """No connection is held while a password is hashed: each step is a transaction of its own.

    Raises Conflict for who has no password, Forbidden for a wrong one, TooManyRequests, and
    Unavailable.
    """

    def __init__(self, databases: Databases, passwords: Passwords, login: Login) -> None:
        self._database = databases.user
        self._passwords = passwords
        self._login = login

    async def change_password(
        self, person: Principal, current: str, new: str, *, address: str
    ) -> None:
        """Their other tokens end. Raises Invalid for a password that is not accepted."""
        user = await self._with_password(person)
        was = await self._login.confirm(person, current, address)
        names = own_names(user.username, user.email or "")
        renewed = await self._passwords.hash_new(new, names, field="new_password")
        async with self._database.session(person.tenant_id) as session:
            await UserService(session).set_own_password(person, renewed, was=was)

    async def erase(self, person: Principal, password: str, *, address: str) -> SubjectLedger:
        """Delete the account; its conversations are erased next."""
        await self._with_password(person)
        await self._login.confirm(person, password, address)
        async with self._database.session(person.tenant_id) as session:
            return await UserService(session).remove_own(person)

    async def _with_password(self, person: Principal) -> User:
        async with self._database.session(person.tenant_id) as session:
            user = await UserService(session).own(person)
        if user.password_hash is None:
            raise Conflict("You have no password here; whoever runs your product acts for you.")
        return user
