"""`litestar dev` as a newcomer meets it: a process, its output and its folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

import pytest

from tests.support.servers import LOUD

# The README's own lines are pasted; without curl in the system that cannot be tried.
needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason=f"{LOUD}: curl is not installed (apt-get install curl)"
)
ROOT = Path(__file__).parents[2]
STOP_SECONDS = 30


@dataclass
class Dev:
    process: subprocess.Popen[str]
    address: str
    curl: str  # or whose own password logs in
    psql: list[str]

    def log_in(self) -> str:
        """Paste the line that it printed."""
        pasted = subprocess.run(["bash", "-c", self.curl], capture_output=True, check=True)
        token: str = json.loads(pasted.stdout)["access_token"]
        return token

    def stop(self, signal: int) -> int:
        self.process.send_signal(signal)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running(data_dir: Path, *more: str, folder: Path = ROOT) -> Generator[Dev]:
    command = [sys.executable, "-m", "litestar", "dev", "--port", "0", "--data-dir", str(data_dir)]
    process = subprocess.Popen([*command, *more], cwd=folder, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            lines = iter(process.stdout or ())
            address = next(line for line in lines if line.startswith("Service:")).split()[1]
            curl = next(line for line in lines if line.startswith(("curl ", "Log in as ")))
            psql = [next(line for line in lines if "/psql " in line) for _ in range(2)]
            yield Dev(process, address, curl, [line.strip() for line in psql])
        finally:
            process.send_signal(SIGTERM)  # killed, it would leave its servers behind
            process.wait(STOP_SECONDS)
