"""Passwords: which are accepted, and how they are hashed."""

from __future__ import annotations

import asyncio
import os
import secrets
import string
import sys
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from app.accounts.strength import PRODUCT, common_passwords, weakness
from app.config.settings import Settings
from app.http.errors import Invalid, Unavailable

T = TypeVar("T")
NICE = 5
# NIST SP 800-63B-4, section 3.1.1.2.
MIN_CODE_POINTS = 15
MAX_CODE_POINTS = 128
# What is left of a password without its owner's names must still be this long.
MIN_BESIDE_NAMES = 8
PADDING = string.digits + string.punctuation + string.whitespace
# OWASP's figures (Password Storage Cheat Sheet): the library's defaults cost seven times as much.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Passwords:
    """argon2id off the event loop, in a bounded pool: a full one raises Unavailable at once."""

    def __init__(self, settings: Settings) -> None:
        self._nobody = _nobodys_hash()
        self._threads = ThreadPoolExecutor(
            settings.password_hash_threads, "argon2", initializer=_give_way
        )
        self._limit = settings.password_hash_threads + settings.password_hash_queue
        self._running = 0

    async def hash_new(self, password: str, names: Sequence[str], *, field: str) -> str:
        """Hash a password that its owner of these names may take.

        Raises Invalid, which names the rule and the field of the request.
        """
        own = [name.casefold() for name in names if name]
        return await self._run(self._hash_new, normalized(password), own, field)

    async def hash(self, password: str) -> str:
        return await self._run(HASHER.hash, normalized(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """False for a wrong password, and for no user at all (`stored` None), at equal cost."""
        matches = await self._run(self._matches, stored or self._nobody, normalized(password))
        return matches and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """The hash was made with other parameters: hash again while the password is at hand."""
        return HASHER.check_needs_rehash(stored)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hash_new(self, password: str, names: list[str], field: str) -> str:
        if rule := broken_rule(password, names):
            raise Invalid.field(field, rule)
        return HASHER.hash(password)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return HASHER.verify(stored, password)
        except (VerifyMismatchError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        if self._running >= self._limit:
            raise Unavailable("Too many passwords are being checked; try again.")
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        finally:
            self._running -= 1


@cache
def _nobodys_hash() -> str:
    """Make what is verified against when there is no such user, so that both cost the same."""
    return HASHER.hash(secrets.token_urlsafe())


def _give_way() -> None:
    """Leave the event loop its time, whoever logs in: on Linux a thread alone becomes nicer."""
    if sys.platform == "linux":
        os.nice(NICE)


def normalized(password: str) -> str:
    """NFC (RFC 8265, OpaqueString): an é is the same whether a keyboard sends one sign or two."""
    return unicodedata.normalize("NFC", password)


def own_names(username: str, email: str = "") -> list[str]:
    """List what a password may not be made of: tenant, own part, the parts of the address."""
    return [*username.strip("\\").split("\\"), *email.split("@")]


def broken_rule(password: str, names: list[str]) -> str | None:
    """Name the rule that a password breaks. Any Unicode is taken, without rules of composition."""
    if len(password) < MIN_CODE_POINTS:
        return f"Too short: at least {MIN_CODE_POINTS} characters."
    if len(password) > MAX_CODE_POINTS:
        return f"Too long: at most {MAX_CODE_POINTS} characters."
    if "\0" in password:
        return "Leave the character U+0000 out."
    if _is_common(password.casefold()):
        return "Too common: it is on a list of much-used passwords, or one of them padded out."
    if _is_little_but_names(password.casefold(), [*names, PRODUCT]):
        return "Too close to your own names or this service's: it is little more than those."
    if words := weakness(password, names):
        return f"Too easy to guess. {words}"
    return None


def _is_common(password: str) -> bool:
    """A common one also counts when it is repeated to length, or has digits and signs around it."""
    common = common_passwords()
    forms = {password, _unit(password), password.strip(PADDING)}
    forms.add(_unit(password.strip(PADDING)))
    return not forms.isdisjoint(common) or len(_unit(password)) < 3


def _unit(text: str) -> str:
    """Find the shortest prefix that, repeated, gives the text: `abcab` is `abc`, cut off."""
    return next((text[:n] for n in range(1, len(text)) if text[n:] == text[:-n]), text)


def _is_little_but_names(password: str, names: list[str]) -> bool:
    rest = password
    for name in sorted(names, key=len, reverse=True):
        rest = rest.replace(name, "")
    return rest != password and len(rest.strip(PADDING)) < MIN_BESIDE_NAMES
