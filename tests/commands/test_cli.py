"""`litestar tenants …` and `litestar users …` do what operators need without the API."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
import httpx
import pytest

from app.cli import COMMANDS, Deferred
from tests.support.commands import Ended, litestar, python, start, urls
from tests.support.factories import PASSWORD, World
from tests.support.servers import Servers

CLI = "import sys; sys.argv = ['litestar', *{}]; from litestar.__main__ import run_cli; run_cli()"
NEW = "another quiet corner of it"
ALICE = "\\acme\\alice"


async def _do(env: dict[str, str], *words: str, stdin: str = "") -> str:
    ended = await litestar(*words, env=env, stdin=stdin)
    assert (ended.code, ended.err) == (0, ""), ended
    return ended.out


async def _fail(env: dict[str, str], *words: str, stdin: str = "") -> str:
    """Expect one line on standard error, exit code 1 and nothing on standard output."""
    ended: Ended = await litestar(*words, env=env, stdin=stdin)
    assert (ended.code, ended.out) == (1, ""), ended
    assert "Traceback" not in ended.err
    return ended.line.removeprefix("bicameral: ")


async def _login(world: World, username: str, password: str) -> httpx.Response:
    body = {"username": username, "password": password}
    return await world.nobody.post("/v1/auth/login", json=body)


async def test_from_nothing_to_a_user_who_is_blocked_and_back(
    servers: Servers, database: str, world: World
) -> None:
    env = urls(servers, database)
    assert "Created tenant acme (" in await _do(env, "tenants", "create", "acme")
    assert (await _do(env, "tenants", "list")).split()[1:] == ["acme"]
    stdin = ("--password-stdin", "--email")
    who = ("users", "create", "alice", "--tenant", "acme", *stdin, "alice@example.org")
    created = await _do(env, *who, stdin=f"{PASSWORD}\n")
    assert created.startswith(f"Created user {ALICE} (")
    root = ("users", "create", "root", "--role", "admin", *stdin, "root@example.org")
    assert "\\platform\\root" in await _do(env, *root, stdin=PASSWORD)
    listed = [line.split()[1:] for line in (await _do(env, "users", "list")).splitlines()]
    assert listed == [[ALICE, "member", "active"], ["\\platform\\root", "admin", "active"]]
    http = world.with_token(await world.log_in(ALICE))

    assert await _do(env, "users", "block", ALICE, "--reason", "spam") == f"Blocked {ALICE}.\n"
    assert (await http.get("/v1/me")).status_code == 401
    only = await _do(env, "users", "list", "--tenant", "acme")
    assert only.split()[1:] == [ALICE, "member", "blocked"]
    await _do(env, "users", "unblock", ALICE)
    http = world.with_token(await world.log_in(ALICE))

    await _do(env, "users", "set-password", ALICE, "--password-stdin", stdin=f"{NEW}\n")
    assert (await http.get("/v1/me")).status_code == 401
    assert (await _login(world, ALICE, PASSWORD)).status_code == 401
    assert (await _login(world, ALICE, NEW)).status_code == 200

    await _do(env, "users", "roles", ALICE, "member", "tenant_admin")
    await _do(env, "users", "email", ALICE, "a@example.org")
    http = world.with_token(await world.log_in(ALICE, NEW))
    me = (await http.get("/v1/me")).json()
    assert (me["roles"], me["email"]) == (["member", "tenant_admin"], "a@example.org")
    sure = await _fail(env, "users", "delete", ALICE)
    assert sure == "nobody is there to ask; say --yes."
    # The last administrator of a tenant may go with it only.
    assert "last administrator" in await _fail(env, "users", "delete", ALICE, "--yes")
    await _do(env, "users", "roles", "\\platform\\root", "admin")
    deleted = await _do(env, "tenants", "delete", "acme", "--yes")
    assert deleted == "Deleted tenant acme with 1 users; a relay erases what they said.\n"
    assert (await http.get("/v1/me")).status_code == 401


async def test_a_failure_is_one_plain_line(servers: Servers, database: str, world: World) -> None:
    env = urls(servers, database)
    await world.user(ALICE)
    await world.user("\\platform\\root")
    tenant = ("tenants", "create")
    assert await _fail(env, *tenant, "acme") == "This tenant name is taken; choose another."
    assert "matching regex" in await _fail(env, *tenant, "No Name")
    who = ("users", "create", "bob", "--password-stdin", "--email", "bob@example.org")
    assert (await _fail(env, *who, "--tenant", "acme", stdin="short\n")).startswith("password: ")
    nowhere = await _fail(env, *who, "--tenant", "nowhere", stdin=PASSWORD)
    assert nowhere == "There is no tenant named nowhere."
    assert "--tenant" in await _fail(env, *who, stdin=PASSWORD)
    assert await _fail(env, "users", "block", "\\acme\\nobody") == (
        "There is no user named \\acme\\nobody."
    )
    away = env | {"DATABASE_URL_USER": "postgresql://bicameral_app@127.0.0.1:1/user"}
    assert "is away" in await _fail(away, "tenants", "list")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_what_is_listed_is_what_the_command_says_of_itself(command: Deferred) -> None:
    real = command.command()
    assert (command.name, command.help) == (real.name, (real.help or "").partition("\n\n")[0])


async def test_help_lists_our_commands_and_imports_none_of_them() -> None:
    """It reads no setting either, so that a bad one does not matter."""
    telling = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    ended = await python("-c", telling + CLI.format(["--help"]), env={"DB_POOL_SIZE": "no"})
    assert ended.code == 0, ended
    modules = ended.err.split()
    for command in COMMANDS:
        assert f" {command.name} " in ended.out
        assert command.place.partition(":")[0] not in modules
    assert "sessions" not in ended.out
    assert "app.server" not in modules
    assert "app.cli" in modules


@pytest.mark.slow
async def test_in_any_folder_and_whatever_env_file_lies_above(tmp_path: Path) -> None:
    """The application is ours, though Litestar would look for one in this very folder."""
    (tmp_path / ".env").write_text("DB_POLL_SIZE=5\nLITESTAR_APP=nothing:at_all\n")
    (tmp_path / "below").mkdir()
    for words in (["--help"], ["users", "create", "--help"], ["routes"], ["database", "--help"]):
        ended = await start(*words, env={}, folder=tmp_path / "below")
        assert (ended.code, ended.err) == (0, ""), ended
    version = await start("version", env={}, folder=tmp_path / "below")
    assert version.out.startswith(f"Bicameral {metadata.version('bicameral')} on Litestar 2.")
    refused = await start("version", env={}, folder=tmp_path)
    assert "did you mean DB_POOL_SIZE?" in refused.line


def _options(command: click.Command, path: str) -> Iterator[tuple[str, click.Parameter]]:
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from _options(one, f"{path} {name}")
    else:
        yield from ((path, one) for one in command.params)


def test_each_option_of_ours_says_what_it_is() -> None:
    found = [each for one in COMMANDS for each in _options(one.command(), one.name or "")]
    options = [(path, one) for path, one in found if isinstance(one, click.Option)]
    assert len(options) > 15
    assert [f"{path} {one.name}" for path, one in options if not one.help] == []
    taking = [(path, one) for path, one in options if not one.is_flag]
    assert [f"{path} {one.name}" for path, one in taking if " as " not in (one.help or "")] == []


async def test_a_shell_completes_our_commands(tmp_path: Path) -> None:
    for typed, completed in (("litestar us", "users"), ("litestar users set-", "set-password")):
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
        env = {"_LITESTAR_COMPLETE": "bash_complete", "DB_POOL_SIZE": "none", **words}
        script = (
            "import sys; from litestar.__main__ import run_cli; sys.argv[0] = 'litestar'; run_cli()"
        )
        assert (await python("-c", script, env=env, folder=tmp_path)).out == f"plain,{completed}\n"


async def test_a_worker_imports_nothing_that_only_commands_need() -> None:
    program = "import app.commands.run as run, sys; run.create_service(); print(*sys.modules)"
    ended = await python("-c", program, env={})
    modules = ended.out.split()
    assert "app.server" in modules, ended
    assert not {
        "alembic",
        "app.commands.dev",
        "app.commands.embedded.cluster",
        "app.commands.migrate",
    }.intersection(modules)
