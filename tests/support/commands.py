"""`litestar …` as an operator types it: a process of its own, from the repository's root."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.support import forked, leaks, pgbouncer, sealing
from tests.support.servers import Servers

ROOT = Path(__file__).parents[2]
OURS = ("DATABASE_", "LITESTAR_")
TERMINAL_BYTES = 65_536


class Ended(NamedTuple):
    code: int | None
    out: str
    err: str

    @property
    def line(self) -> str:
        """The only one of a failure."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def urls(servers: Servers, database: str) -> dict[str, str]:
    return {
        "DATABASE_URL_USER": pgbouncer.url(servers.user, database),
        "DATABASE_URL_GENERAL": pgbouncer.url(servers.general, database),
        **pgbouncer.ENVIRONMENT,
        **sealing.ENVIRONMENT,
    }


async def litestar(
    *words: str, env: dict[str, str], stdin: str | bytes = "", folder: Path = ROOT
) -> Ended:
    """Run it without the time of its imports; `start` is for tests of the start itself."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    with TemporaryDirectory() as name:
        streams = Path(name)
        (streams / "in").write_bytes(given)
        code = await asyncio.to_thread(forked.run, words, _environment(env), folder, streams)
        out, err = ((streams / file).read_text() for file in ("out", "err"))
    return Ended(code, out, leaks.note(err))


async def on_a_terminal(*words: str, env: dict[str, str], typed: str = "") -> tuple[Ended, str]:
    """Run it with standard error on a terminal, where that is typed; give what it has shown."""
    reading, writing = os.openpty()
    os.write(reading, typed.encode())
    with TemporaryDirectory() as name:
        streams = Path(name)
        (streams / "in").symlink_to(os.ttyname(writing))
        (streams / "err").symlink_to(os.ttyname(writing))
        code = await asyncio.to_thread(forked.run, words, _environment(env), ROOT, streams)
        out = (streams / "out").read_text()
    os.write(writing, b"\0")  # so that there is something to read
    shown = os.read(reading, TERMINAL_BYTES).decode()
    os.close(reading)
    os.close(writing)
    return Ended(code, out, ""), leaks.note(shown)


async def on_a_full_disk(*words: str, env: dict[str, str]) -> Ended:
    """Run it with standard output in a file that takes nothing."""
    with TemporaryDirectory() as name:
        streams = Path(name)
        (streams / "in").touch()
        (streams / "out").symlink_to("/dev/full")
        code = await asyncio.to_thread(forked.run, words, _environment(env), ROOT, streams)
        return Ended(code, "", leaks.note((streams / "err").read_text()))


async def start(
    *words: str, env: dict[str, str], stdin: str | bytes = "", folder: Path = ROOT
) -> Ended:
    return await python("-m", "litestar", *words, env=env, stdin=stdin, folder=folder)


async def python(
    *words: str, env: dict[str, str], stdin: str | bytes = "", folder: Path = ROOT
) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *words),
        cwd=folder,
        env=_environment(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120):
            out, err = await process.communicate(
                stdin.encode() if isinstance(stdin, str) else stdin
            )
    finally:
        if process.returncode is None:
            process.kill()
    return Ended(process.returncode, out.decode(), leaks.note(err.decode()))


async def pasted(commands: str, env: dict[str, str], *folders: Path) -> str:
    """Run a block of a page in bash, with the programs of these folders; return its output."""
    places = (*map(str, folders), str(Path(sys.executable).parent), os.environ["PATH"])
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env=os.environ | env | {"PATH": ":".join(places)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    leaks.note(done.stderr + done.stdout)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def _environment(env: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return inherited | env
