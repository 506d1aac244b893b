"""Settings from the environment and `.env`: read once, checked, then passed on as an argument."""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from app.config.database_settings import ServerTimeout
from app.config.database_url import LAST_PORT, DatabaseUrl
from app.config.names import SERVICE_LINK, meant
from app.config.seal_settings import SealSettings

DOT_ENV = ".env"  # in the working directory, and nowhere else
SHORTEST_KEY = 32
LARGEST = 2_147_483_647  # what no time, no size and no count comes near
ENCODING = "utf-8-sig"  # some editors begin a file with a mark


class SettingsError(ValueError):
    """Tells the operator, in one line, which setting to change, and how."""


def stop(line: str, code: int = 1) -> SystemExit:
    """Make the exception that ends a command with this line and exit code."""
    if code == 1:
        return SystemExit(f"bicameral: {line}")
    sys.stderr.write(f"bicameral: {line}\n")
    return SystemExit(code)


class Settings(SealSettings):
    """Every setting with its default and unit; app/README.md's table is made from the fields."""

    model_config = SettingsConfigDict(
        env_file=DOT_ENV,
        env_file_encoding=ENCODING,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    migration_wait_seconds: float = Field(
        300, gt=0, description="how long an upgrade waits for another one to finish"
    )
    migration_lock_timeout_seconds: ServerTimeout = Field(
        5, description="the longest a migration may queue for a table lock"
    )
    migration_statement_timeout_seconds: ServerTimeout = Field(
        600, description="a migration statement's longest run"
    )

    log_format: Literal["json", "text"] | None = Field(
        None, description="`json` or `text`; unset: text on a terminal, else JSON"
    )
    health_timeout_seconds: float = Field(
        1.5, gt=0, le=1.8, description="a database that is silent for so long is away"
    )
    metrics: bool = Field(True, description="off: nothing answers `GET /metrics`")
    metrics_port: int = Field(
        0, ge=0, le=LAST_PORT, description="a port of their own for metrics; 0: the service's"
    )
    metrics_host: str = Field("127.0.0.1", description="the address of that port")
    idempotency_kept_seconds: int = Field(
        86_400, ge=1, description="how long an `Idempotency-Key` and its answer are kept"
    )
    idempotency_sweep_seconds: float = Field(
        60, gt=0, description="how often a relay deletes the keys and tokens that have expired"
    )

    audit_kept_days: int = Field(
        400, ge=1, le=36_500, description="a relay deletes audit events that are older"
    )

    retention_sweep_seconds: float = Field(
        3600, gt=0, description="how often a relay deletes what was kept long enough"
    )

    password_hash_threads: int = Field(2, ge=1, le=64, description="threads that hash passwords")
    password_hash_queue: int = Field(
        256, ge=1, description="hashes that may wait for a thread; one more is answered 503"
    )
    token_idle_seconds: int = Field(86_400, ge=60, description="a token unused for so long ends")
    token_lifetime_seconds: int = Field(604_800, ge=60, description="a token's longest life")
    login_free_attempts: int = Field(
        20, ge=1, description="failed logins before an account's or address's delay begins"
    )
    login_max_delay_seconds: int = Field(
        300, ge=1, description="the longest such delay; it ends by itself"
    )
    log_digest_key: SecretStr | None = Field(
        None,
        description="key of the digests that stand for names and addresses in log and tables; "
        "unset: one in the user database",
    )

    relay: bool = Field(True, description="off: this process erases nobody; `litestar relay` does")
    relay_workers: int = Field(
        4, ge=1, le=64, description="erasures at a time, per process; each holds a connection"
    )
    relay_poll_seconds: float = Field(
        1, gt=0, description="how often an idle relay looks for erasures, notified or not"
    )
    relay_listen: bool = Field(
        True, description="be notified of deletions; off behind PgBouncer in transaction mode"
    )
    relay_batch_rows: int = Field(
        2000, ge=1, description="messages and sessions deleted in one transaction, at most"
    )
    relay_batch_users: int = Field(
        100, ge=1, le=1000, description="users of one tenant who are erased together, at most"
    )
    relay_lease_seconds: float = Field(
        15, gt=0, description="an erasure held for longer without a sign of life is taken over"
    )
    relay_turn_seconds: float = Field(
        1, gt=0, description="a larger erasure then lets the others go first, and goes on after"
    )
    relay_backoff_seconds: float = Field(
        1, gt=0, description="before an erasure that failed is tried again; doubles each time"
    )
    relay_backoff_max_seconds: float = Field(
        300, gt=0, description="the longest such delay; an erasure is never dropped"
    )
    relay_away_max_seconds: float = Field(
        5, gt=0, description="the longest pause between looks at a database that is away"
    )
    relay_stop_seconds: float = Field(
        3, gt=0, description="a relay that stops gives back what it holds within so long"
    )
    relay_beat_seconds: float = Field(
        1, gt=0, description="how often it is noted how far each database is, which tells restores"
    )
    relay_reconcile_seconds: float = Field(
        0, ge=0, description="how often `litestar relay` compares the databases; 0: never"
    )
    reconcile_statement_timeout_seconds: ServerTimeout = Field(
        300, description="a comparing statement's longest run"
    )

    @model_validator(mode="before")
    @classmethod
    def _let_service_links_be(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Kubernetes names the address of a service called `metrics` METRICS_PORT, as we a port."""
        return {
            name: value
            for name, value in values.items()
            if not (name.endswith("_port") and SERVICE_LINK.match(str(value)))
        }

    @model_validator(mode="after")
    def _bound_numbers(self) -> Self:
        for name, value in self:
            if isinstance(value, int | float) and value > LARGEST:
                raise ValueError(f"{name.upper()}: must be at most {LARGEST}")
        return self

    @field_validator("log_digest_key")
    @classmethod
    def _check_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value) < SHORTEST_KEY:
            raise ValueError(
                f"must have at least {SHORTEST_KEY} characters; `openssl rand -hex 32` makes one"
            )
        return value

    def url(self, database: Literal["user", "general"], *, owner: bool = False) -> DatabaseUrl:
        """Return the URL that is to be used, or raise SettingsError where none is set."""
        value: SecretStr | None = getattr(self, f"database_url_{database}")
        if owner:
            value = getattr(self, f"database_url_{database}_owner") or value
        if value is None:
            raise SettingsError(
                f"DATABASE_URL_{database.upper()} is not set; set it to a postgresql:// URL, "
                "or run `litestar dev`"
            )
        return DatabaseUrl(value.get_secret_value())


def load_settings(**given: object) -> Settings:
    """Read this process's settings, but for those that are given.

    Raises SettingsError for a misspelt name or a bad value.
    """
    settings = {name.upper() for name in Settings.model_fields}
    for name in (*os.environ, *read_dot_env()):
        if setting := meant(name, settings):
            raise SettingsError(f"{name} is not a setting; did you mean {setting}?")
    try:
        return Settings(**given)  # pyright: ignore[reportArgumentType]  # pydantic looks at them
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


def read_dot_env() -> dict[str, str]:
    """Read the working directory's `.env`, if there is one."""
    if not Path(DOT_ENV).is_file():
        return {}
    try:
        text = Path(DOT_ENV).read_text(encoding=ENCODING)
    except OSError as error:
        raise SettingsError(f"{DOT_ENV}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 is full of them
        raise SettingsError(f"{DOT_ENV}: is not UTF-8; save it so")
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            line = binding.original.line
            raise SettingsError(f"{DOT_ENV}: line {line} is not NAME=value, or a quote never ends")
    values = dotenv_values(stream=StringIO(text))
    return {name: value for name, value in values.items() if value is not None}


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    text = first["msg"].removeprefix("Value error, ")
    return f"{name}: {text}" if name else text
