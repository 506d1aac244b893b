"""app/README.md says which files a message crosses, from the socket to the commit and back."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import httpx

from tests.support.factories import a_session
from tests.support.servers import ROOT, Servers
from tests.support.wire import service

APP = str(ROOT / "app")
PAGE = ROOT / "app" / "README.md"
MOST_FILES = 10  # in all
MOST_INSIDE = 6  # between the edge and the commit, telemetry aside
RUNS = 20
MESSAGE = {"role": "user", "content": "Hello"}


@contextmanager
def entered() -> Generator[dict[str, None]]:
    """Give the files of ours in which a function was called meanwhile, in order."""
    files: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(APP):
            files[frame.f_code.co_filename.removeprefix(f"{APP}/")] = None

    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)


async def crossed(http: httpx.AsyncClient, url: str) -> list[str]:
    with entered() as files:
        assert (await http.post(url, json=MESSAGE)).status_code == 201
    return list(files)


async def test_a_message_crosses_the_files_that_the_page_names(
    servers: Servers, database: str
) -> None:
    # The page tells the way of a message that is stored as it is; one that is sealed goes further.
    async with service(servers, database, seal_keys=None) as it:
        alice = await it.world.member()
        url = f"/v1/chat-sessions/{(await a_session(alice))['id']}/messages"
        base, headers = f"http://127.0.0.1:{it.port}", alice.http.headers
        async with httpx.AsyncClient(base_url=base, headers=headers) as http:
            await http.post(url, json=MESSAGE)  # opens the connections and compiles what is cached
            runs = [await crossed(http, url) for _ in range(RUNS)]
    # What a task beside the requests enters now and then is not on every run's way.
    files = [file for file in runs[0] if all(file in run for run in runs)]
    inside = [file for file in files if not file.startswith(("edge/", "telemetry/"))]
    assert len(files) <= MOST_FILES, "\n".join(files)
    assert len(inside) <= MOST_INSIDE
    section = PAGE.read_text().split("## The way of a message")[1].split("\n## ")[0]
    assert set(re.findall(r"(?m)^\| .*?\]\((\w[\w/]*\.py)\)", section)) == set(files)
