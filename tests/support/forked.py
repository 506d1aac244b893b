"""`litestar …` in a process that is forked from one in which everything is imported already.

It has its own arguments, environment, folder and streams; only its imports, over a second of CPU
each time, are done before. The first few lines of a command's own start run as in any other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path

SECONDS = 120
FORKED = get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "app.commands.accounts",
        "app.commands.audit",
        "app.commands.credentials",
        "app.commands.erasure",
        "app.commands.migrate",
        "app.commands.reconcile",
        "app.commands.run",
        "app.commands.whose",
        "litestar.cli.main",
        "tests.support.forked",
    ]
)


def run(words: tuple[str, ...], env: Mapping[str, str], folder: Path, streams: Path) -> int | None:
    """Return the exit code; `streams` holds `in`, and gets `out` and `err`."""
    process = FORKED.Process(target=_become, args=(words, dict(env), folder, streams))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    code = process.exitcode
    process.close()
    return code


def _become(words: tuple[str, ...], env: dict[str, str], folder: Path, streams: Path) -> None:
    _take_streams(streams)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = ["litestar", *words]
    for name in [*sys.modules]:
        if name == "app.cli" or name.startswith("litestar.cli"):
            del sys.modules[name]  # these look at the environment when they are imported
    from litestar.__main__ import run_cli

    run_cli()


def _take_streams(streams: Path) -> None:
    for descriptor, name in enumerate(("in", "out", "err")):
        file = os.open(streams / name, os.O_RDWR | os.O_CREAT | os.O_NOCTTY, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  a process of multiprocessing's reads nothing
