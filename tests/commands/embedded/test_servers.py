"""Every test here starts the embedded servers for real."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from app.commands.embedded.host import EmbeddedError
from app.commands.embedded.pair import servers
from tests.support.embedded_launcher import ask, launch, living, postgres_under, said


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


def test_data_survives_a_restart_and_stop_is_idempotent(home: Path) -> None:
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
    monkeypatch.setattr("app.commands.embedded.cluster.STOP_TIMEOUT_SECONDS", 0.2)
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


def test_three_launchers_run_on_three_folders(home: Path) -> None:
    launchers = [launch(home / name) for name in "abc"]
    for launcher in launchers:
        with launcher:
            assert (said(launcher), len(said(launcher))) == (["begun"], 2)
            launcher.communicate()
            assert launcher.returncode == 0
