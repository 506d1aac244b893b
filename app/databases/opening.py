"""Opens a connection with its limits, and refuses logins that the service must not use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.config.settings import Settings, SettingsError
from app.databases import hosts
from app.databases.citus import PROPAGATES_SET, propagate_set
from app.databases.connection import Connect, DatabaseName, TenantConnection
from app.databases.shards import Shards
from app.databases.sockets import set_options

OLDEST_SERVER = 150_000
# A frozen server says nothing; this long after its own deadline we stop waiting for it.
GRACE_SECONDS = 2.0
GONE_AFTER = "1s"

# Also what it could become by SET ROLE.
LOGIN = """
SELECT current_setting('server_version_num')::int AS version,
       current_setting('server_encoding') AS encoding,
       'public' = ANY (current_schemas(false)) AS sees_tables,
       bool_or(rolsuper) AS rolsuper, bool_or(rolbypassrls) AS rolbypassrls,
       EXISTS (SELECT FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
               AND pg_has_role(relowner, 'MEMBER')) AS owns,
       EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') AS is_on_citus,
       current_setting('citus.propagate_set_commands', true) AS hands_on
FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')
"""


# What SQLAlchemy expects of the driver: it hands JSON over as text, and wants it back as objects.
JSONB: dict[str, Any] = {"schema": "pg_catalog", "format": "binary"}
JSONB_VERSION = b"\x01"  # which the binary form begins with


def _encode_jsonb(text: str) -> bytes:
    return JSONB_VERSION + text.encode()


def _decode_jsonb(data: bytes) -> Any:
    return msgspec.json.decode(data.removeprefix(JSONB_VERSION))


def connector(settings: Settings, name: DatabaseName, *, reads_only: bool = False) -> Connect:
    """Open the pools' connections as the service's login, which the first one checks.

    One to a server that takes no writes serves a single time, unless the pool `reads_only`.

    It looks for Citus, too. That comes only with `litestar distribute`, which wants us gone.
    """
    is_on_citus: bool | None = None

    async def connect(*_: Any, **__: Any) -> TenantConnection:
        nonlocal is_on_citus
        connection = await open_connection(settings, name)
        try:
            if is_on_citus is None:
                variable = f"DATABASE_URL_{name.upper()}{'_READ' if reads_only else ''}"
                is_on_citus = await look_for_citus(connection, name, variable)
            await connection.set_type_codec(
                "jsonb", encoder=_encode_jsonb, decoder=_decode_jsonb, **JSONB
            )
            await connection.read_state()
            connection.is_spoiled &= not reads_only
            if is_on_citus:
                connection.shards = await Shards.read(connection)
        except BaseException:
            connection.terminate()
            raise
        connection.begins_alone |= is_on_citus
        return connection

    return connect


async def open_connection(
    settings: Settings, name: DatabaseName, *, owner: bool = False
) -> TenantConnection:
    url, limits = settings.url(name, owner=owner), _limits(settings)
    behind_pgbouncer = not settings.db_prepared_statements
    connection: TenantConnection = await hosts.connect(
        url,
        settings.db_connect_timeout_seconds,
        connection_class=TenantConnection,
        command_timeout=settings.db_statement_timeout_seconds + GRACE_SECONDS,
        statement_cache_size=0 if behind_pgbouncer else 100,
        server_settings={"application_name": "bicameral", **({} if behind_pgbouncer else limits)},
    )
    unacknowledged_ms = int(2000 * settings.db_silence_seconds)
    set_options(connection.line, url.keepalives, unacknowledged_ms=unacknowledged_ms)
    connection.database = name
    connection.echo = settings.db_echo
    connection.behind_pgbouncer = connection.begins_alone = behind_pgbouncer
    connection.limits = _locally(limits) if behind_pgbouncer else ""
    return connection


def _limits(settings: Settings) -> dict[str, str]:
    idle_seconds = settings.db_idle_in_transaction_seconds
    return {
        "jit": "off",  # compiling costs more than our short statements run
        "statement_timeout": _milliseconds(settings.db_statement_timeout_seconds),
        "lock_timeout": _milliseconds(settings.db_lock_timeout_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(idle_seconds),
    }


def _locally(limits: dict[str, str]) -> str:
    more = {**limits, "client_connection_check_interval": GONE_AFTER}
    return "".join(f" SET LOCAL {name} = '{value}';" for name, value in more.items())


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


async def look_for_citus(connection: TenantConnection, name: DatabaseName, variable: str) -> bool:
    """Tell whether the general database's tables may be on other servers.

    Raises SettingsError for a login or a server that the service must not run with: row level
    security holds for neither a superuser, nor BYPASSRLS, nor a tables' owner. It then closes the
    connection.
    """
    row = await connection.fetchrow(LOGIN)
    reason = unsafe(row, name)
    if reason:
        await connection.close()
        raise SettingsError(f"{variable}: {reason}")
    return name == "general" and bool(row["is_on_citus"])


def unsafe(row: Mapping[str, Any] | None, name: DatabaseName) -> str | None:
    """Say why the service must not run on what LOGIN has found, if there is a reason."""
    if row is None or row["version"] < OLDEST_SERVER:
        return "the server is older than PostgreSQL 15"
    if row["encoding"] != "UTF8":
        return f"the database's encoding is {row['encoding']}; make one in UTF8"
    if row["rolsuper"] or row["rolbypassrls"]:
        kind = "a superuser" if row["rolsuper"] else "BYPASSRLS"
        return f"the login is {kind}; give the service a login that is not"
    if row["owns"]:
        owners = f"DATABASE_URL_{name.upper()}_OWNER"
        return f"the login owns the tables; use the runtime login, and {owners}"
    if not row["sees_tables"]:
        return "search_path leaves out `public`, where the tables are; look at `options`"
    if name == "general" and row["is_on_citus"] and row["hands_on"] != PROPAGATES_SET[1]:
        return (
            "on Citus every tenant would find nothing; run litestar distribute, "
            f"or {propagate_set('…')}"
        )
    return None
