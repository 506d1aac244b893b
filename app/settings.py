"""Settings from the environment and `.env`: read once, checked, then passed on as an argument."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg")
# libpq tunes its own client with these; they mean nothing to asyncpg and would reach the server
# as settings it does not know.
CLIENT_ONLY = {
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "gssencmode",
    "fallback_application_name",
    "client_encoding",
}
OURS = ("DATABASE_", "DB_", "HEALTH_", "LOGIN_", "PASSWORD_", "REQUEST_", "TOKEN_", "MIGRATION_")


class SettingsError(ValueError):
    """One line for the operator: the setting's name and what to change."""


def stop(line: str) -> SystemExit:
    """To raise where a command fails: one plain line, exit code 1, at whatever depth."""
    return SystemExit(f"bicameral: {line}")


class DatabaseUrl:
    """A libpq URL as asyncpg takes it. Its repr and str show neither password nor host."""

    __slots__ = ("connect_timeout_seconds", "dsn", "target", "user")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"must begin with postgresql://, not {parts.scheme or 'nothing'}://")
        options = dict(parse_qsl(parts.query))
        if options.pop("channel_binding", "prefer") == "require":
            raise ValueError("channel_binding=require is not supported; use sslmode=verify-full")
        self.connect_timeout_seconds = _seconds(options.pop("connect_timeout", None))
        query = urlencode({k: v for k, v in options.items() if k not in CLIENT_ONLY})
        self.dsn = urlunsplit(("postgresql", parts.netloc, parts.path, query, ""))
        self.user = options.get("user") or parts.username or ""
        host = options.get("host") or parts.hostname or ""
        port = options.get("port") or str(parts.port or 5432)
        self.target = (host, port, options.get("dbname") or parts.path.lstrip("/"))

    def __repr__(self) -> str:
        return "DatabaseUrl(**********)"


def _seconds(value: str | None) -> float | None:
    """libpq: an integer; zero, negative or absent means to wait for as long as it takes."""
    return float(value) if value and float(value) > 0 else None


class Settings(BaseSettings):
    """Every setting, its default and its unit. The README's table is made from these fields."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    database_url_user: SecretStr | None = Field(
        None, description="the user database, as the service's own login"
    )
    database_url_general: SecretStr | None = Field(
        None, description="the general database, as the service's own login"
    )
    database_url_user_owner: SecretStr | None = Field(
        None, description="the owner's login for migrations; unset: the service's"
    )
    database_url_general_owner: SecretStr | None = Field(
        None, description="the owner's login for migrations; unset: the service's"
    )

    db_pool_size: int = Field(
        5, ge=1, le=1000, description="connections kept, per worker and database"
    )
    db_max_overflow: int = Field(10, ge=0, le=1000, description="connections more, under load")
    db_pool_timeout: float = Field(
        5, gt=0, le=600, description="seconds to wait for a connection of the pool, then 503"
    )
    db_pool_recycle_seconds: int = Field(
        1800, ge=1, description="a connection older than this is replaced"
    )
    db_echo: bool = Field(False, description="log every statement, without its values")
    db_connect_timeout_seconds: float = Field(5, gt=0, description="to open a connection")
    db_statement_timeout_seconds: float = Field(
        15, gt=0, description="a statement's longest run; PostgreSQL then cancels it"
    )
    db_lock_timeout_seconds: float = Field(
        5, gt=0, description="the longest wait for a row or table lock"
    )
    db_idle_in_transaction_seconds: float = Field(
        30, gt=0, description="PostgreSQL ends a transaction left idle for so long"
    )
    db_prepared_statements: bool = Field(
        True, description="false behind PgBouncer in transaction mode"
    )

    migration_wait_seconds: float = Field(
        300, gt=0, description="how long an upgrade waits for another one to finish"
    )
    migration_lock_timeout_seconds: float = Field(
        5, gt=0, description="the longest a migration may queue for a table lock"
    )
    migration_statement_timeout_seconds: float = Field(
        600, gt=0, description="a migration statement's longest run"
    )

    health_timeout_seconds: float = Field(
        1.5, gt=0, le=1.8, description="a database that is silent for so long is away"
    )
    request_max_body_bytes: int = Field(
        10 * 1024 * 1024, ge=1024, description="a longer request body is refused with 413"
    )

    password_hash_threads: int = Field(2, ge=1, le=64, description="threads that hash passwords")
    password_hash_queue: int = Field(
        256, ge=1, description="hashes that may wait for a thread; one more is answered 503"
    )
    token_idle_seconds: int = Field(86_400, ge=60, description="a token unused for so long ends")
    token_lifetime_seconds: int = Field(604_800, ge=60, description="a token's longest life")
    login_free_attempts: int = Field(
        10, ge=1, description="failed logins before an account's or address's delay begins"
    )
    login_max_delay_seconds: int = Field(
        300, ge=1, description="the longest such delay; it ends by itself"
    )

    @field_validator(
        "database_url_user",
        "database_url_general",
        "database_url_user_owner",
        "database_url_general_owner",
    )
    @classmethod
    def _parse(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            DatabaseUrl(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _two_databases(self) -> Self:
        user, general = self.database_url_user, self.database_url_general
        if user and general and _target(user) == _target(general):
            raise ValueError(
                "DATABASE_URL_USER and DATABASE_URL_GENERAL name the same database; "
                "they must be two"
            )
        return self

    def url(self, database: Literal["user", "general"], *, owner: bool = False) -> DatabaseUrl:
        """Raises SettingsError when the variable is not set."""
        value: SecretStr | None = getattr(self, f"database_url_{database}")
        if owner:
            value = getattr(self, f"database_url_{database}_owner") or value
        if value is None:
            raise SettingsError(
                f"DATABASE_URL_{database.upper()} is not set; set it to a postgresql:// URL, "
                "or run `litestar dev`"
            )
        return DatabaseUrl(value.get_secret_value())


def _target(url: SecretStr) -> tuple[str, str, str]:
    return DatabaseUrl(url.get_secret_value()).target


def load_settings() -> Settings:
    """Settings of this process. Raises SettingsError, one line, for an unknown or bad value."""
    _refuse_unknown(os.environ)
    try:
        return Settings()  # pyright: ignore[reportCallIssue]  # pydantic fills the fields
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


def _refuse_unknown(names: Iterable[str]) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for name in names:
        if name.startswith(OURS) and name not in known and name != "DATABASE_URL":
            guess = get_close_matches(name, known, 1)
            hint = f"; did you mean {guess[0]}?" if guess else ""
            raise SettingsError(f"{name} is not a setting{hint}")


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    text = first["msg"].removeprefix("Value error, ")
    return f"{name}: {text}" if name else text
