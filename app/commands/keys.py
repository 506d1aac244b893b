"""`litestar keys …`: what an operator does with master keys, and with what they seal."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

import click
from sqlalchemy import text

from app.accounts.wrapped_keys import People, State, WrappedKeys
from app.bridge.rows import fetch_value
from app.bridge.sealing.keys import Keys
from app.bridge.sealing.rotation import rotate as rotate_keys
from app.commands.progress import counting
from app.commands.running import lent, run
from app.config.settings import SettingsError, load_settings
from app.databases.database import Databases

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
    """Show which master keys are known and in use, and how many people's words are sealed."""
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
    """Wrap all people's keys anew under the active master key, the first of SEAL_KEYS."""
    count = run(_rotate())
    click.echo(f"{count} people's keys wrapped anew.")


async def _rotate() -> int:
    async with _lent() as (known, databases):
        _check_active(known)
        with counting("Wrapping keys anew") as advance:
            return await rotate_keys(known, databases.user, advance)


def _check_active(known: Keys) -> None:
    if known.master_keys.active is None:
        raise SettingsError("SEAL_KEYS: there is none; set it, the key that is to wrap first")
