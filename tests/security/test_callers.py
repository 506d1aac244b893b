"""Every operation, by every kind of caller, on behalf of every kind of person, over real HTTP.

An operation that is new has no line in DOORS, and fails until somebody has thought about it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import asyncpg
import httpx
import pytest

from tests.support.api_keys import ON_BEHALF_OF
from tests.support.callers import Callers
from tests.support.door_cells import Cell, Choice, cells, in_turn, known
from tests.support.door_scene import Scene, external_id_of
from tests.support.doors import DOORS, FOREIGN, POWERS, PUBLIC, Came
from tests.support.operations import OPERATIONS
from tests.support.servers import Servers
from tests.support.wire import Wire, serving, wired

CONNECTIONS = 8


@dataclass
class House:
    """The service behind a port, and its scene."""

    scene: Scene
    port: int
    http: httpx.AsyncClient


@pytest.fixture
async def house(callers: Callers, servers: Servers, shared: str) -> AsyncGenerator[House]:
    user = await asyncpg.connect(servers.user.url(shared))
    general = await asyncpg.connect(servers.general.url(shared))
    scene = Scene(callers, user, general)
    await scene.set()
    async with (
        serving(callers.app, callers.app.state.settings) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        yield House(scene, port, http)
    await user.close()
    await general.close()


def test_every_operation_has_a_door_and_every_door_an_operation() -> None:
    assert set(DOORS) | PUBLIC == set(OPERATIONS)
    of_users = {one.id for one in OPERATIONS.values() if "/users/" in one.path}
    of_keys = {name for name in of_users if DOORS[name].scopes}  # holds are no key's
    assert of_keys | {"get_erasure"} == set(POWERS)


choices = pytest.mark.parametrize("chosen", [in_turn, pytest.param(known, marks=pytest.mark.slow)])


@choices
async def test_each_refusal_comes_in_its_order_and_changes_nothing(
    house: House, chosen: Choice
) -> None:
    """All are sent to one victim's rows, which any of them would change or show."""
    victim = house.scene.people["active"]
    paths = {
        name: await house.scene.owned(victim, victim, OPERATIONS[name].path) + door.query
        for name, door in DOORS.items()
    }
    before = await house.scene.rows()
    refused = iter([cell for cell in chosen(cells()) if cell.status >= 400])
    wrong = list[str]()

    async def ask() -> None:
        async with wired(house.port) as wire:
            for cell in refused:
                status = await sent(wire, house.scene, cell, paths[cell.operation.id])
                if status != cell.status:
                    wrong.append(f"{cell}: {status}, not {cell.status}")

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    assert wrong == []
    assert await house.scene.rows() == before


async def sent(wire: Wire, scene: Scene, cell: Cell, path: str) -> int:
    lines = [f"{cell.operation.method.upper()} {path} HTTP/1.1", "Host: x"]
    if credential := scene.credentials[cell.caller.name]:
        lines.append(f"Authorization: Bearer {credential}")
    lines += [f"{ON_BEHALF_OF}: {value}" for value in scene.named(cell.subject)]
    body = json.dumps(cell.door.body()) if cell.door.body else ""
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    await wire.send("\r\n".join([*lines, "", body]).encode())
    return await wire.status()


@choices
async def test_who_may_is_let_in(house: House, chosen: Choice) -> None:
    """Each finds a person and rows of their own, so that none meets what another has ended."""
    wrong = list[str]()
    for cell in chosen(cells()):
        if cell.status < 400:
            answer = await _let_in(house, cell)
            if answer.status_code != cell.status:
                wrong.append(f"{cell}: {answer.status_code}, not {cell.status}: {answer.text}")
    assert wrong == []


async def _let_in(house: House, cell: Cell) -> httpx.Response:
    scene, caller = house.scene, cell.caller
    state = "foreign" if caller is FOREIGN else "active"
    person = await scene.someone(state, caller.home, caller.role)
    target = person
    if cell.operation.id in POWERS or cell.operation.path.endswith("/hold"):
        is_over = cell.operation.id == "get_erasure"
        target = await scene.someone("erased" if is_over else state, caller.home)
    is_key = caller.came is Came.KEY
    credential = scene.credentials[caller.name] if is_key else ""
    headers = {"Authorization": f"Bearer {credential or await scene.token(person, caller.scopes)}"}
    if not cell.subject.is_missing:
        external = f"external:{external_id_of(person)}"
        headers[ON_BEHALF_OF] = external if cell.subject.is_external else str(person.id)
    path = await scene.owned(person, target, cell.operation.path) + cell.door.query
    body = cell.door.body() if cell.door.body else None
    return await house.http.request(cell.operation.method, path, json=body, headers=headers)


async def test_a_key_has_power_over_members_of_its_tenant_alone(house: House) -> None:
    wrong = list[str]()
    for name, statuses in POWERS.items():
        operation, door = OPERATIONS[name], DOORS[name]
        key = house.scene.credentials[f"key, {min(door.scopes)}"]
        for state, status in statuses.items():
            path = await _path_to(house.scene, state, operation.path)
            answer = await house.http.request(
                operation.method,
                path,
                json=door.body() if door.body else None,
                headers={"Authorization": f"Bearer {key}"},
            )
            if answer.status_code != status:
                wrong.append(f"{name}, {state}: {answer.status_code}, not {status}")
    assert wrong == []


async def _path_to(scene: Scene, state: str, path: str) -> str:
    match state:
        case "unknown":
            unknown = "0198c5a0-0000-7000-8000-000000000000"
            return path.format(user_id=unknown, external_id=unknown)
        case "malformed":
            return path.format(user_id="alice", external_id="a%20b")
        case _:
            person = await scene.someone(state)
            return await scene.owned(person, person, path)


async def test_what_is_open_asks_for_no_credential(house: House) -> None:
    headers = {"Authorization": "Bearer bic_key_wrong", ON_BEHALF_OF: "alice"}
    for path in ("/health", "/health/live", "/health/ready"):
        assert (await house.http.get(path, headers=headers)).status_code == 200


async def test_the_header_counts_once_and_in_the_head_alone(house: House) -> None:
    """A folded line is no request at all, and what comes as a trailer is not heard."""
    alice, bob = [await house.scene.someone("active") for _ in range(2)]
    names = f"{ON_BEHALF_OF}: {alice.id}", f"on-behalf-of: {bob.id}"
    to_alice, to_bob = (line.encode() for line in names)
    faults = {
        b"twice": to_alice + b"\r\n" + to_bob,
        b"twice the same": to_alice + b"\r\n" + to_alice.lower(),
        b"as a list": to_alice + b", " + str(bob.id).encode(),
        b"folded": to_alice.replace(b" ", b"\r\n ", 1),
        b"folded after": to_alice + b"\r\n " + str(bob.id).encode(),
        b"quoted": to_alice.replace(b": ", b': "') + b'"',
        b"in a trailer only": b"X-Nobody: named",
    }
    for name, lines in faults.items():
        assert (await _asked(house, lines, trailer=to_bob)).startswith(b"HTTP/1.1 400"), name
    for spaced in (to_alice, to_alice.replace(b": ", b":\t ") + b" \t"):
        answer = await _asked(house, spaced, trailer=to_bob)
        assert answer.startswith(b"HTTP/1.1 200")
        assert str(alice.id).encode() in answer


async def _asked(house: House, lines: bytes, *, trailer: bytes) -> bytes:
    """Ask who the person is, in a request whose body is chunked and has a trailer."""
    key = house.scene.credentials["key, chat:read"].encode()
    head = b"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked"
    head += b"\r\nAuthorization: Bearer " + key + b"\r\n" + lines + b"\r\n\r\n"
    async with wired(house.port) as wire:
        await wire.send(head + b"0\r\n" + trailer + b"\r\n\r\n")
        return await wire.until_closed()
