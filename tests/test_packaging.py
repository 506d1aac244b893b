"""Operators start it with the compose file, its scripts, the image and the sample `.env`."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import asyncpg
import pytest
from compose_spec import PyCompose

from app.commands.dev import create_database
from app.config.settings import Settings, load_settings
from tests.support.servers import Servers, run

ROOT = Path(__file__).parents[1]
ENTRY = re.compile(r"(?m)^(\w+)=(.*)$")
HEALTH_CHECK = re.compile(r'CMD \["python", "-c", "(.*)"\]')
REFERENCE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def dot_env() -> dict[str, str]:
    """Fill the sample in as an operator does."""
    entries = ENTRY.findall((ROOT / ".env.example").read_text())
    return {name: value or f"of{name}".replace("_", "") for name, value in entries}


@pytest.fixture(scope="module")
def services(dot_env: dict[str, str]) -> Services:
    """Refuses whatever the compose specification does not know."""
    text = (ROOT / "docker-compose.yml").read_text()
    compose = PyCompose.from_yaml(REFERENCE.sub(lambda match: dot_env[match[1]], text))
    compose.validate()
    parsed = compose.to_dict()
    services: Services = parsed["services"]
    used = {name for one in services.values() for name in named_volumes(one)}
    assert used == parsed["volumes"].keys()
    return services


def named_volumes(service: dict[str, Any]) -> list[str]:
    sources = [str(volume).split(":")[0] for volume in service.get("volumes", [])]
    return [source for source in sources if not source.startswith(".")]


def test_every_credential_is_required_and_in_the_sample(dot_env: dict[str, str]) -> None:
    references = REFERENCE.findall((ROOT / "docker-compose.yml").read_text())
    assert {name for name, _, _ in references} == dot_env.keys()
    assert {name for name, mark, _ in references if mark != "?"} == {"BICAMERAL_PUBLISH"}


def test_only_the_service_is_published(services: Services) -> None:
    assert {name for name, service in services.items() if "ports" in service} == {"app"}
    published = services["app"]["ports"]
    assert [str(port) for port in published] == ["127.0.0.1:8000:8000"]


def test_each_database_has_a_server_a_volume_and_a_check(services: Services) -> None:
    volumes = [str(services[name]["volumes"][0]) for name in ("user-db", "general-db")]
    assert [volume.split(":")[1] for volume in volumes] == ["/var/lib/postgresql"] * 2
    assert len({volume.split(":")[0] for volume in volumes}) == 2
    for name in ("user-db", "general-db"):
        assert re.fullmatch(r"postgres:18\.\d+", services[name]["image"])
        assert services[name]["healthcheck"]["test"][1] == "pg_isready"


def test_the_service_never_sees_the_owner(services: Services, dot_env: dict[str, str]) -> None:
    owners = {value for name, value in dot_env.items() if "OWNER" in name or "ADMIN" in name}
    assert len(owners) == 4
    seen = " ".join(value or "" for value in services["app"]["environment"].values())
    assert not [value for value in owners if value in seen]


def test_what_the_containers_are_given_are_settings(services: Services) -> None:
    for name in ("app", "migrate"):
        given = {variable.lower() for variable in services[name]["environment"]}
        assert given <= Settings.model_fields.keys()


def test_every_setting_reaches_the_service_by_its_bare_name(services: Services) -> None:
    """Add those of a new setting to docker-compose.yml, under `app`."""
    bare = {name for name, value in services["app"]["environment"].items() if value is None}
    settings = {name.upper() for name in Settings.model_fields}
    assert bare == {name for name in settings if not name.startswith("DATABASE_URL_")}


def test_each_service_has_limits_and_no_more_rights_than_it_needs(services: Services) -> None:
    for name in ("app", "user-db", "general-db"):
        service = services[name]
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_sample_does_not_disturb_the_commands(
    dot_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Litestar's CLI loads `.env` into the environment, whose unknown names we refuse."""
    (tmp_path / ".env").write_text("".join(f"{name}={v}\n" for name, v in dot_env.items()))
    monkeypatch.chdir(tmp_path)
    for name, value in dot_env.items():
        monkeypatch.setenv(name, value)
    assert load_settings().db_pool_size == 5


async def test_the_logins_get_their_passwords(servers: Servers) -> None:
    """The postgres image does the same: roles.sql in a new database, then passwords.sh."""
    server = servers.user
    await create_database(server, "logins")
    place = {"PGHOST": str(server.socket_dir), "PGPORT": str(server.port)}
    place |= {"PATH": f"{server.programs.folder}:/usr/bin:/bin"}
    place |= {"POSTGRES_USER": "postgres", "POSTGRES_DB": "logins"}
    refused = await asyncio.to_thread(passwords, place)
    assert refused.returncode
    assert "OWNER_PASSWORD" in refused.stderr
    given = {"OWNER_PASSWORD": "o'wner", "APP_PASSWORD": "app", "RELAY_PASSWORD": "relay"}
    done = await asyncio.to_thread(passwords, place | given)
    assert done.returncode == 0, done.stderr
    await run(server, STORED, "logins")
    await run(server, NO_BACKUP, "logins")
    done = await asyncio.to_thread(passwords, place | given | {"BACKUP_PASSWORD": "b'ackup"})
    assert done.returncode == 0, done.stderr
    with pytest.raises(asyncpg.AssertError):
        await run(server, NO_BACKUP, "logins")
    await run(server, "ALTER ROLE bicameral_backup PASSWORD NULL")
    await run(server, "DROP DATABASE logins")


async def test_who_may_not_give_bypassrls_is_told_in_one_line(servers: Servers) -> None:
    """The administrator of a managed server often may not; the other logins are made."""
    server = servers.general
    await run(server, (ROOT / "migrations" / "roles.sql").read_text(), "postgres")
    await run(server, "ALTER ROLE bicameral_backup RENAME TO hidden")
    await run(server, "CREATE ROLE limited LOGIN CREATEROLE CREATEDB")
    await run(server, "CREATE DATABASE limited OWNER limited")
    await run(server, "ALTER SCHEMA public OWNER TO limited", "limited")
    connection = await asyncpg.connect(server.url("limited", "limited"))
    said: list[str] = []

    def note(_: object, message: asyncpg.PostgresLogMessage) -> None:
        said.append(str(message).partition(": ")[2])

    connection.add_log_listener(note)
    try:
        await connection.execute((ROOT / "migrations" / "roles.sql").read_text())
    finally:
        await connection.close()
        await run(server, "DROP DATABASE limited")
        await run(server, "DROP ROLE limited")
        await run(server, "ALTER ROLE hidden RENAME TO bicameral_backup")
    told = [line for line in said if "bicameral_backup" in line]
    assert "; ".join(told) == (
        "there is no login bicameral_backup: limited may not give BYPASSRLS;"
        " let a superuser run this"
    )
    assert not [line for line in said if "\n" in line]


def passwords(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = ROOT / "migrations" / "passwords.sh"
    return subprocess.run(script, env=environment, check=False, capture_output=True, text=True)


# Asserted in the server: only a superuser may read this table.
STORED = """
DO $$ BEGIN
    ASSERT (SELECT count(*) = 3 FROM pg_authid
            WHERE rolname IN ('bicameral_owner', 'bicameral_app', 'bicameral_relay')
            AND rolpassword LIKE 'SCRAM-SHA-256$%');
END $$
"""


NO_BACKUP = """
DO $$ BEGIN
    ASSERT (SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'bicameral_backup');
END $$
"""


def test_the_servers_get_the_backups_password_by_its_bare_name() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert text.count("      BACKUP_PASSWORD:\n") == 2


def test_the_image_starts_the_service_and_migrates_nothing() -> None:
    *_, user, _, _, health, _, command = (ROOT / "Dockerfile").read_text().strip().splitlines()
    assert re.fullmatch(r"USER \d+:\d+", user)
    assert health.startswith("HEALTHCHECK")
    assert command.startswith('CMD ["litestar", "run", ')


@pytest.mark.parametrize(("answer", "code"), [("200 OK", 0), ("503 Service Unavailable", 1)])
def test_the_health_check_asks_the_service_and_no_proxy(answer: str, code: int) -> None:
    check = HEALTH_CHECK.findall((ROOT / "Dockerfile").read_text())[0]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=_answer_once, args=(listener, answer), daemon=True).start()
        port = str(listener.getsockname()[1])
        program = [sys.executable, "-c", check.replace("8000", port)]
        proxies = {"http_proxy": "http://127.0.0.1:9", "PATH": os.environ["PATH"]}
        assert subprocess.run(program, env=proxies, timeout=20, check=False).returncode == code


def _answer_once(listener: socket.socket, status: str) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


def test_a_clone_has_unix_line_ends_whatever_git_is_told(tmp_path: Path) -> None:
    """A carriage return ends the shell's script in the database's container."""
    for name in (".gitattributes", "migrations/passwords.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    clone = ["git", "clone", "-q", "-c", "core.autocrlf=true", str(tmp_path), str(tmp_path / "c")]
    subprocess.run(clone, check=True)
    assert b"\r" not in (tmp_path / "c" / "migrations" / "passwords.sh").read_bytes()


def test_an_image_built_from_any_clone_can_be_read_by_its_user() -> None:
    build, _, _ = (ROOT / "Dockerfile").read_text().partition("USER ")
    assert "chmod -R a+rX ." in build
