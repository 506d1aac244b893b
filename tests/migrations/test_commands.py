"""`litestar database …` and `alembic …`: what each acts on, and how it says that it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.config import main as run_alembic
from click.testing import CliRunner, Result
from litestar.cli._utils import LitestarEnv
from litestar.cli.main import litestar_group

from app.cli import Commands
from app.commands.migrate import ROOT, head
from app.commands.run import create_service
from app.config.settings import Settings
from app.databases.connection import DATABASES, DatabaseName
from tests.support.commands import on_a_terminal
from tests.support.migrations import environment, fetch

Litestar = Callable[..., Result]
VERSION = "SELECT version_num FROM alembic_version"
NEED_A_KEY = (
    ["downgrade"],
    ["downgrade", "base", "--no-prompt"],
    ["make-migrations", "-m", "x"],
    ["stamp", "head"],
    ["merge", "heads", "--no-prompt"],
    ["drop-all", "--no-prompt"],
    ["ensure-version"],
    ["edit", "head"],
    ["show", "head"],
    ["upgrade", "u0001"],
)


@pytest.fixture
def litestar(empty: Settings, monkeypatch: pytest.MonkeyPatch) -> Litestar:
    for variable, value in environment(empty).items():
        monkeypatch.setenv(variable, value)

    def run(*line: str) -> Result:
        env = LitestarEnv("app:create_app", create_service(Commands()), ROOT)
        return CliRunner().invoke(litestar_group, ["database", *line], obj=env)

    return run


@pytest.fixture
def versions(empty: Settings) -> Callable[[], dict[DatabaseName, str | None]]:
    def ask() -> dict[DatabaseName, str | None]:
        return {name: asyncio.run(_version(empty, name)) for name in DATABASES}

    return ask


async def _version(settings: Settings, name: DatabaseName) -> str | None:
    exists = await fetch(settings, name, "SELECT FROM pg_class WHERE relname = 'alembic_version'")
    if not exists:
        return None
    return next((str(row[0]) for row in await fetch(settings, name, VERSION)), None)


AT_HEAD = {name: head(name) for name in DATABASES}
Versions = Callable[[], dict[DatabaseName, str | None]]


def test_upgrade_takes_both_databases_to_head(litestar: Litestar, versions: Versions) -> None:
    upgraded = litestar("upgrade")
    assert upgraded.exit_code == 0
    assert versions() == AT_HEAD
    lines = upgraded.output.splitlines()
    for name in DATABASES:
        steps = [line for line in lines if line.startswith(f"{name} database: upgrade ")]
        assert len(steps) == len([*(ROOT / "migrations" / name).glob("2*.py")])
        assert f"-> {head(name)}" in steps[-1]
        assert lines[lines.index(steps[-1]) + 1] == f"{name} database: at {head(name)}"
    assert litestar("check").exit_code == 0


@pytest.mark.parametrize(("typed", "is_done"), [("n\n", False), ("y\n", True)])
async def test_on_a_terminal_it_asks_once(
    empty: Settings, versions: Versions, typed: str, is_done: bool
) -> None:
    env = environment(empty)
    ended, _ = await on_a_terminal("database", "upgrade", env=env, typed=typed)
    assert ended.out.count("Migrate both databases to head?") == 1
    assert (ended.code == 0) == is_done
    found = await asyncio.to_thread(versions)
    assert found == (AT_HEAD if is_done else dict.fromkeys(DATABASES))


def test_a_bind_key_means_that_database_alone(litestar: Litestar, versions: Versions) -> None:
    assert litestar("upgrade", "--bind-key", "general", "--no-prompt").exit_code == 0
    assert versions() == {"user": None, "general": head("general")}
    refusal = litestar("check")
    assert refusal.exit_code == 1
    assert _line(refusal) == (
        "bicameral: user database: Target database is not up to date;"
        " the general database was left alone"
    )


def test_an_unknown_bind_key_is_refused(litestar: Litestar, versions: Versions) -> None:
    refusal = litestar("upgrade", "--bind-key", "users")
    assert refusal.exit_code == 1
    assert _line(refusal) == (
        "bicameral: --bind-key users: there are two databases, user and general"
    )
    assert versions() == dict.fromkeys(DATABASES)


@pytest.mark.parametrize("line", NEED_A_KEY, ids=" ".join)
def test_every_other_command_needs_a_bind_key(
    line: list[str], litestar: Litestar, versions: Versions
) -> None:
    refusal = litestar(*line)
    assert refusal.exit_code == 1
    assert "needs --bind-key user or --bind-key general" in _line(refusal)
    assert versions() == dict.fromkeys(DATABASES)


def test_drop_all_empties_the_database_it_is_told(litestar: Litestar, versions: Versions) -> None:
    litestar("upgrade")
    assert litestar("drop-all", "--bind-key", "general", "--no-prompt").exit_code == 0
    assert versions() == {"user": head("user"), "general": None}


def test_both_command_lines_keep_the_same_version(litestar: Litestar, versions: Versions) -> None:
    for name in DATABASES:
        run_alembic(["-n", name, "upgrade", "head"])
    assert litestar("upgrade").exit_code == 0
    assert versions() == AT_HEAD
    run_alembic(["-n", "general", "downgrade", "base"])
    assert litestar("upgrade").exit_code == 0
    assert versions() == AT_HEAD


@pytest.mark.parametrize("line", [["upgrade", "head"], ["revision", "-mx"], ["merge", "heads"]])
def test_alembic_asks_which_database(
    line: list[str], litestar: Litestar, versions: Versions, capfd: pytest.CaptureFixture[str]
) -> None:
    files = _files()
    with pytest.raises(SystemExit) as refusal:
        run_alembic(line)
    assert refusal.value.code != 0
    said = "FAILED: which database? `alembic -n user …` or `alembic -n general …`"
    assert capfd.readouterr().out.strip().splitlines()[-1] == said
    assert versions() == dict.fromkeys(DATABASES)
    assert _files() == files


def _files() -> set[Path]:
    return {*(ROOT / "migrations").rglob("*.py")}


def test_an_upgrade_says_that_the_second_database_is_away(
    litestar: Litestar, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL_GENERAL_OWNER", "postgresql://o:secret@127.0.0.1:1/general")
    failure = litestar("upgrade")
    assert failure.exit_code == 1
    assert _line(failure) == (
        "bicameral: general database: away: nothing listens there; the user database is done"
    )
    assert versions() == {"user": head("user"), "general": None}


def test_a_url_that_is_not_set_is_named(
    litestar: Litestar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL_USER")
    monkeypatch.delenv("DATABASE_URL_USER_OWNER")
    assert _line(litestar("upgrade")).startswith("bicameral: DATABASE_URL_USER is not set;")
    assert litestar("upgrade", "--help").exit_code == 0
    assert litestar("--help").exit_code == 0


def test_drift_is_named(litestar: Litestar, empty: Settings) -> None:
    litestar("upgrade")
    asyncio.run(fetch(empty, "user", "ALTER TABLE users ADD COLUMN extra text"))
    asyncio.run(fetch(empty, "user", "ALTER TABLE users ALTER password_hash TYPE text"))
    found = _line(litestar("check", "--bind-key", "user"))
    assert found.startswith("bicameral: user database: not as the models say: ")
    assert "remove_column users extra" in found
    assert "modify_type users password_hash" in found


def _line(result: Result) -> str:
    """The last of its output, which is all it says but for headings; never a traceback."""
    assert "Traceback" not in result.output
    return result.output.strip().splitlines()[-1]
