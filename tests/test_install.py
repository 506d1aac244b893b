"""README's line for a mirror of PyPI asks the mirror, and nobody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.servers import ROOT

LINE = re.compile(r"(?m)^\.venv/bin/uv export .*? \| .*? -r -")


@pytest.mark.slow
def test_a_mirror_is_asked_and_nobody_else(tmp_path: Path) -> None:
    [line] = LINE.findall((ROOT / "README.md").read_text())
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    asked: list[str] = []

    class Mirror(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as mirror:
        Thread(target=mirror.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{mirror.server_port}/simple"
        place = {"UV_DEFAULT_INDEX": address, "UV_CACHE_DIR": str(tmp_path / "cache")}
        place |= {"VIRTUAL_ENV": str(tmp_path / "env"), "UV_HTTP_RETRIES": "0"}
        ended = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{line} --dry-run"],
            cwd=ROOT,
            env=os.environ | place | {"HTTPS_PROXY": "http://127.0.0.1:9"},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        mirror.shutdown()
    assert ended.returncode
    assert [path for path in asked if path.startswith("/simple/")] == asked
    assert asked
    assert "not found" in ended.stderr
