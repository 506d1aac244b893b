"""The README's walk from nothing to a first message, as it stands there, against `litestar dev`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dev import needs_curl

ROOT = Path(__file__).parents[1]
WALK = (ROOT / "README.md").read_text().split("## From nothing to a first message")[1]
PAGE = re.compile(r"items['\"]: ?\[{.*Where is it warm\?")
SECOND = re.compile(r"items['\"]: ?\[{((?!Canary).)*Where is it warm\?((?!Canary).)*(null|None)}")
FORK = re.compile(r'"forked_from":{"session_id"')
WRONG_ROLE = re.compile(r"['\"]path['\"]: ?['\"]role['\"]|['\"]role['\"], ?['\"]message['\"]")
STOP_SECONDS = 30


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start `litestar dev` in a folder of its own, and read its address from what it prints."""
    folder = tmp_path_factory.mktemp("walk")
    command = (sys.executable, "-m", "litestar", "dev", "--port", "0", "--data-dir", str(folder))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as dev:
        try:
            output = iter(dev.stdout or ())
            service = next(line for line in output if line.startswith("Service:"))
            assert any(line.startswith("curl ") for line in output)
            yield f"{service.split()[1]} {folder}"
        finally:
            dev.terminate()
            dev.communicate(timeout=STOP_SECONDS)


def pasted(language: str, address: str) -> str:
    url, folder = address.split()
    block = re.findall(rf"(?s)```{language}\n(.*?)```", WALK)[0]
    return block.replace("http://127.0.0.1:8000", url).replace(".bicameral", folder)


@needs_curl
@pytest.mark.parametrize("again", ["", " again"])
def test_the_first_conversation_works_with_curl(address: str, again: str) -> None:
    output = done(("bash", "-euc", pasted("bash", address)))
    shown(output)
    assert FORK.search(output)


@pytest.mark.parametrize("again", ["", " again"])
def test_the_first_conversation_works_with_httpx(address: str, again: str) -> None:
    shown(done((sys.executable, "-c", pasted("python", address))))


def shown(output: str) -> None:
    """It shows a page, the page after one of a single message, an error, and an export."""
    assert PAGE.search(output)
    assert SECOND.search(output)
    assert WRONG_ROLE.search(output)
    assert re.search(r'"type": ?"user"', output)
    assert re.search(r'"type": ?"message"', output)


def done(command: tuple[str, ...]) -> str:
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout
