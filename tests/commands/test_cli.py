"""`litestar tenants …` and `litestar users …` do what operators need without the API."""

from __future__ import annotations

import httpx
import pytest

from app.cli import COMMANDS, Deferred
from tests.support.commands import Ended, litestar, python, urls
from tests.support.factories import PASSWORD, World
from tests.support.servers import Servers

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


@pytest.mark.parametrize("command", [Deferred(*one) for one in COMMANDS], ids=lambda one: one.name)
def test_what_is_listed_is_what_the_command_says_of_itself(command: Deferred) -> None:
    real = command.command()
    assert (command.name, command.help) == (real.name, (real.help or "").partition("\n\n")[0])


async def test_help_lists_our_commands_and_imports_none_of_them() -> None:
    """It reads no setting either, so that a bad one does not matter."""
    ended = await python("-X", "importtime", "-m", "litestar", "--help", env={"DB_POOL": "no"})
    assert ended.code == 0, ended
    for name, place, _ in COMMANDS:
        assert f" {name} " in ended.out
        assert place.partition(":")[0] not in ended.err
    assert "app.server" not in ended.err
    assert "app.cli" in ended.err  # else it would tell nothing


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
