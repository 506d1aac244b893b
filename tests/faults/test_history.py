"""Concurrent reads and writes, recorded while the general database and the lines to it break, or
while keys are wrapped anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from app.bridge.sealing.conversion import Conversion
from app.bridge.sealing.rotation import rotate
from app.http.idempotency import HEADER
from tests.support import pgbouncer
from tests.support.factories import a_session
from tests.support.history import NEVER, anomalies
from tests.support.opened import opened
from tests.support.outages import kill, start
from tests.support.pool_faults import faults
from tests.support.proxy import Act, Proxy, proxied
from tests.support.recorder import Recorder, recording, stored
from tests.support.sealing import keys_on, master_keys
from tests.support.servers import Servers, run
from tests.support.wire import Service, service

PATIENCE_SECONDS = 60
SETTLING = timedelta(seconds=2)  # longer than a look-up of a token is good
LOSSES = (Act.CUT_BEFORE, Act.CUT_REPLY, Act.RESET_REPLY)


@dataclass
class Scene:
    servers: Servers
    service: Service
    general: Proxy  # between the service and its database
    line: Proxy  # between the clients and the service


@asynccontextmanager
async def a_scene(servers: Servers, database: str, **more: object) -> AsyncGenerator[Scene]:
    # The run's servers may forget the last commits in a crash; this database may not.
    await run(servers.general, f"ALTER DATABASE {database} SET synchronous_commit = on")
    async with AsyncExitStack() as stack:
        general = await stack.enter_async_context(proxied(pgbouncer.port(servers.general)))
        url = pgbouncer.url_at(general.port, database)
        more |= {"database_url_general": url, "db_silence_seconds": 0.5}
        it = await stack.enter_async_context(service(servers, database, **more))
        line = await stack.enter_async_context(proxied(it.port))
        yield Scene(servers, it, general, line)


@pytest.fixture
async def scene(servers: Servers, database: str) -> AsyncIterator[Scene]:
    async with a_scene(servers, database) as scene:
        yield scene


async def cuts(scene: Scene, recorder: Recorder) -> None:
    """After some bytes, so anywhere; and at a COMMIT, so where it is told last."""
    for skip in (0, 400, 3000):
        for act in LOSSES:
            for proxy in (scene.general, scene.line):
                await proxy.breaks(act, skip=skip).happened.wait()
    for act in LOSSES:
        await scene.general.breaks(act, b"COMMIT;").happened.wait()
        await scene.line.breaks(act, HEADER.encode()).happened.wait()
    scene.general.heals()
    scene.line.heals()


async def kills(scene: Scene, recorder: Recorder) -> None:
    for _ in range(2):
        await kill(scene.servers.general)
        await start(scene.servers.general)
        await recorder.gets_on()


async def restarts(scene: Scene, recorder: Recorder) -> None:
    for _ in range(3):
        await asyncio.to_thread(scene.servers.general.stop)
        await start(scene.servers.general)
        await recorder.gets_on()


async def rotations(scene: Scene, recorder: Recorder) -> None:
    """Another master key becomes the active one, and the first one again."""
    databases, settings = scene.service.world.databases, scene.service.app.state.settings
    for ids in (("a", "suite"), ("suite", "a")):
        keys = keys_on(databases, settings, *ids)
        assert (await rotate(keys, databases.user, lambda: None)).keys == 1
        await recorder.gets_on()


async def conversions(scene: Scene, recorder: Recorder) -> None:
    """All that was said is opened, and sealed anew under another key."""
    databases, settings = scene.service.world.databases, scene.service.app.state.settings
    keys, said = keys_on(databases, settings, "suite", "a"), list[str]()
    conversion = Conversion(keys, databases, said.append, settling=SETTLING)
    for work in (conversion.unseal, conversion.seal):
        assert await work(lambda: None) == []
        await recorder.gets_on()


@pytest.mark.parametrize("breaks", [cuts, kills, restarts])
async def test_one_conversation_explains_what_all_clients_saw(
    scene: Scene, database: str, breaks: Callable[[Scene, Recorder], Awaitable[None]]
) -> None:
    recorder = await recorded(scene, database, breaks)
    assert set(recorder.answers) > {"200", "201"}, "the clients noticed"
    assert any(one.ended == NEVER for one in recorder.history.appends)


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "others"), [(rotations, set[str]()), (conversions, {"503"})])
async def test_one_conversation_explains_what_was_seen_while_keys_changed(
    servers: Servers,
    database: str,
    changes: Callable[[Scene, Recorder], Awaitable[None]],
    others: set[str],
) -> None:
    """No client notices a rotation; when sealing is switched some writers have to come back."""
    async with a_scene(servers, database, seal_keys=master_keys("suite", "a")) as scene:
        recorder = await recorded(scene, database, changes)
    assert {"200", "201"} <= set(recorder.answers) <= {"200", "201"} | others
    assert recorder.history.edits


async def recorded(
    scene: Scene, database: str, breaks: Callable[[Scene, Recorder], Awaitable[None]]
) -> Recorder:
    alice = await scene.service.world.member()
    session = await a_session(alice)
    address, token = f"http://127.0.0.1:{scene.line.port}", alice.http.headers["Authorization"]
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with recording(address, token, session) as recorder:
            await recorder.gets_on()
            await breaks(scene, recorder)
            await recorder.gets_on()
        assert await faults(scene.service.world.databases.general) == []
    async with opened(scene.servers, database) as opener:
        end = await stored(opener, session["id"])
    assert anomalies(recorder.history, end) == []
    return recorder
