"""`litestar keys …`: operators look at the master keys, change them, and seal or unseal rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import click
from sqlalchemy import text

from app.accounts.wrapped_keys import People, State, WrappedKeys
from app.bridge.rows import fetch_value
from app.bridge.sealing.conversion import Conversion, Person
from app.bridge.sealing.keys import Keys
from app.bridge.sealing.rotation import Rotated
from app.bridge.sealing.rotation import rotate as rotate_keys
from app.commands.progress import counting
from app.commands.running import lent, run
from app.config.settings import SettingsError, load_settings, stop
from app.databases.database import Databases

INTERRUPTED = "interrupted; what is done stays so, and the same command goes on from there"
T = TypeVar("T")
NEVER_SEALED = text("SELECT owners_never_sealed()")


class Lent(NamedTuple):
    keys: Keys
    databases: Databases


@asynccontextmanager
async def _lent() -> AsyncGenerator[Lent]:
    settings = load_settings()
    async with lent(settings) as databases:
        yield Lent(Keys(settings, databases), databases)


@click.group()
def keys() -> None:
    """Manage the keys under which people's words are sealed."""


@keys.command()
def status() -> None:
    """Show the master keys, and who is sealed.

    It tells which master keys are known and in use, and how many people's words are sealed.
    """
    for line in run(_status()):
        click.echo(line)


async def _status() -> list[str]:
    async with _lent() as (known, databases):
        async with databases.user.session() as session:
            wrapped = WrappedKeys(session)
            state, used, people = (
                await wrapped.state(),
                await wrapped.people(),
                await wrapped.counts(),
            )
        never = await fetch_value(databases.general, NEVER_SEALED)
    return [_sealing(state), *_master_keys(known, used), *_people(people, never)]


def _sealing(state: State) -> str:
    if state.is_on and not state.is_settled:
        return "sealing: on, but rows may be plain yet; `litestar keys seal` ends that"
    return f"sealing: {'on' if state.is_on else 'off'}"


def _master_keys(known: Keys, used: dict[str, int]) -> list[str]:
    ids = [*known.master_keys.ids, *(one for one in used if one not in known.master_keys)]
    return [
        f"master key {one}: {_here(known, one)}, "
        + (f"in use, wraps {used[one]} people's keys" if one in used else "not in use")
        for one in ids
    ]


def _here(known: Keys, master_id: str) -> str:
    if master_id not in known.master_keys:
        return "not known here"
    return "active" if master_id == known.master_keys.active else "known"


def _people(people: People, never: int) -> list[str]:
    return [
        f"people sealed from their first word on: {people.sealed}",
        f"people converted: {people.converted}",
        f"people with plain rows: {people.plain + never}",
    ]


@keys.command()
def rotate() -> None:
    """Wrap all keys under the active master key.

    That is the first of SEAL_KEYS. Nobody waits, and what people said is not written anew.
    """
    done = _run(_rotate())
    _check_all_done(done.left, "wrapped anew", "a damaged key, which is left as it is")
    click.echo(f"{done.keys} people's keys wrapped anew.")


async def _rotate() -> Rotated:
    async with _lent() as (known, databases):
        await _check_active(known)
        with counting("Wrapping keys anew") as advance:
            return await rotate_keys(known, databases.user, advance)


async def _check_active(known: Keys) -> None:
    await known.check_in_use()
    if known.master_keys.active is None:
        raise SettingsError("SEAL_KEYS: none is set; `openssl rand -base64 32` makes one")


@keys.command()
def seal() -> None:
    """Seal what is written, and what is there.

    People write meanwhile. Ended in the middle, it goes on when it is called again.
    """
    _check_all_done(_run(_seal()), "sealed", "rows that cannot be sealed, or a key that is lost")
    click.echo("All that people said is sealed.")
    click.echo("The tables' files keep what was plain until VACUUM FULL rewrites them.")


async def _seal() -> list[Person]:
    async with _lent() as (known, databases):
        await _check_active(known)
        with counting("Sealing rows") as advance:
            return await Conversion(known, databases, _say).seal(advance)


@keys.command()
def unseal() -> None:
    """Seal nothing more, and open what is sealed.

    People write meanwhile. Ended in the middle, it goes on when it is called again.
    """
    _check_all_done(_run(_unseal()), "opened", "rows that cannot be opened, or a key that is lost")
    click.echo("Nothing is sealed any more; SEAL_KEYS may go.")


async def _unseal() -> list[Person]:
    async with _lent() as (known, databases):
        await known.check_in_use()
        with counting("Opening rows") as advance:
            return await Conversion(known, databases, _say).unseal(advance)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return run(work)
    except KeyboardInterrupt:
        raise stop(INTERRUPTED, 130) from None


def _say(line: str) -> None:
    click.echo(line, err=True)


def _check_all_done(left: list[Person], done: str, fault: str) -> None:
    """List the people who were passed over, and end the command with 1 if there are any."""
    for one in left:
        click.echo(f"tenant {one.tenant_id}, user {one.user_id}: could not be {done}")
    if left:
        have = "1 person has" if len(left) == 1 else f"{len(left)} people have"
        raise stop(f"{have} {fault}; everybody else is done")
