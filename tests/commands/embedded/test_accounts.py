"""One line tells whom PostgreSQL cannot run as, and that a system has no file locks."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from app.commands.embedded import pair
from app.commands.embedded.host import EmbeddedError
from app.commands.embedded.pair import servers
from tests.support.commands import python

UNKNOWN = 54_321  # a user id without a line in /etc/passwd
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@needs_root
def test_a_folder_of_somebody_without_an_account_is_refused(home: Path) -> None:
    os.chown(home / "d" / "user", UNKNOWN, UNKNOWN)
    with pytest.raises(EmbeddedError, match=f"user belongs to user id {UNKNOWN}.*chown -R"):
        servers(home / "d").__enter__()


@needs_root
def test_an_ordinary_user_may_not_use_a_folder_of_somebody_elses(home: Path) -> None:
    assert "Permission denied" in _refused_as(65_534, home / "d")


@needs_root
def test_a_user_without_an_account_is_told_what_to_do() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, UNKNOWN, UNKNOWN)
        assert f"user id {UNKNOWN}, which has no account" in _refused_as(UNKNOWN, Path(place) / "d")


def _refused_as(user_id: int, data_dir: Path) -> str:
    """Start the servers as that user, in a process of its own, and return what was said."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        said = "an exception of another kind"
        try:
            os.setgroups([])
            os.setresgid(user_id, user_id, user_id)
            os.setresuid(user_id, user_id, user_id)
            servers(data_dir).__enter__()
        except EmbeddedError as error:
            said = str(error)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_no_folder_for_the_sockets_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "d").rename(home / ("long" * 30))
    monkeypatch.setattr(pair, "SHORT_DIR", "/nowhere")
    with pytest.raises(EmbeddedError, match=r"/nowhere/bicameral-.*No such file"):
        servers(home / ("long" * 30)).__enter__()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["dev", "--port", "0"], "this Python has no file locks (fcntl)"),
        (["run", "--port", "0"], "DATABASE_URL_USER is not set"),
    ],
)
async def test_without_file_locks(tmp_path: Path, command: list[str], answer: str) -> None:
    begin = "import sys; sys.modules['fcntl'] = None; from litestar.__main__ import run_cli; "
    words = [*command, *(["--data-dir", str(tmp_path)] if command[0] == "dev" else [])]
    ended = await python("-c", f"{begin} sys.argv = ['litestar', *{words}]; run_cli()", env={})
    assert (ended.code, answer in ended.line) == (1, True), ended
    assert sys.modules["fcntl"]
