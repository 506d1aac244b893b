"""Exports and imports without a process of their own."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from app.bridge.export.full import FullExport
from app.bridge.export.people import everybody
from app.bridge.importing.file import ImportFile
from app.bridge.importing.importer import Imported, Importer
from app.bridge.sealing.seals import Seals
from app.config.settings import Settings
from app.databases.database import Databases


class Result(NamedTuple):
    done: Imported
    said: list[str]


async def exported(databases: Databases, settings: Settings) -> bytes:
    seals = Seals(databases, settings)
    await seals.check()
    lines = FullExport(databases, seals).lines(everybody(databases.user))
    return b"".join([line async for line in lines])


async def imported(
    databases: Databases,
    settings: Settings,
    file: bytes | io.IOBase,
    *,
    with_strangers: bool = False,
) -> Result:
    said = list[str]()
    seals = Seals(databases, settings)
    await seals.check()
    source: Any = io.BytesIO(file) if isinstance(file, bytes) else file
    importer = Importer(databases, seals, said.append, _unseen, with_strangers=with_strangers)
    await importer.run(ImportFile(source, said.append))
    return Result(importer.done, said)


def _unseen(_: int) -> None:
    """Show no progress."""


def objects(file: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.splitlines()]


def rewritten(lines: Iterable[dict[str, Any] | bytes]) -> bytes:
    """Write a file with right digests, so that nothing but what was changed is at fault."""
    whole, person, written = hashlib.sha256(), hashlib.sha256(), list[bytes]()
    for line in lines:
        if isinstance(line, dict):
            match line.get("type"):
                case "user":
                    person = hashlib.sha256()
                case "user_end":
                    line = line | {"sha256": person.hexdigest()}
                case "end":
                    line = line | {"sha256": whole.hexdigest()}
                case _:
                    pass
            line = msgspec.json.encode(line) + b"\n"
        whole.update(line)
        person.update(line)
        written.append(line)
    return b"".join(written)
