"""Follows migrations/README.md, "Backups": its blocks of commands, by their names there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.erasure_scene import Scene
from tests.support.servers import LOUD, ROOT

PAGE = (ROOT / "migrations" / "README.md").read_text()
SECTION = PAGE.split("## Backups")[1]
COMMANDS = dict(re.findall(r"(?ms)^<!-- drill: (\w+) -->\n```bash\n(.*?)^```$", SECTION))


async def follow(drill: str, scene: Scene, folder: Path, **urls: str) -> None:
    """Run a block of the page, with the dumps in a folder of the test's."""
    programs = scene.servers.user.programs.folder
    if not shutil.which("pg_restore", path=str(programs)):
        pytest.skip(f"{LOUD}: no pg_dump and pg_restore beside the servers")
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    commands = re.sub(r"(\w+\.dump)", rf"{folder}/\1", COMMANDS[drill])
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env=os.environ | urls | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
