"""Settings that say where the two databases are, and how long they may take."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from app.config.database_url import DatabaseUrl

# In seconds. PostgreSQL takes whole milliseconds, of which 0 would mean to wait for ever.
ServerTimeout = Annotated[float, Field(ge=0.001, le=2_147_483)]


class DatabaseSettings(BaseSettings):
    """These say where the databases are and how long they may take; Settings begins with them."""

    database_url_user: SecretStr | None = Field(
        None, description="the user database, as the service's own login"
    )
    database_url_general: SecretStr | None = Field(
        None, description="the general database, as the service's own login"
    )
    database_url_general_read: SecretStr | None = Field(
        None, description="a standby of the general database, for exports; unset: none"
    )
    database_url_user_owner: SecretStr | None = Field(
        None, description="the owner's login for migrations; unset: the service's"
    )
    database_url_general_owner: SecretStr | None = Field(
        None, description="the owner's login for migrations; unset: the service's"
    )
    database_url_user_relay: SecretStr | None = Field(
        None, description="the erasure relay's login; unset: the service's"
    )
    database_url_general_relay: SecretStr | None = Field(
        None, description="the erasure relay's login; unset: the service's"
    )

    db_pool_size: int = Field(
        5,
        ge=1,
        le=1000,
        description="connections kept, per worker and database; a relay keeps its own",
    )
    db_max_overflow: int = Field(
        10,
        ge=0,
        le=1000,
        description="connections more, per worker and database, for as long as the load lasts",
    )
    db_pool_timeout: float = Field(
        5, gt=0, le=600, description="seconds to wait for a connection of the pool, then 503"
    )
    db_pool_recycle_seconds: int = Field(
        1800, ge=1, description="a connection older than this is replaced"
    )
    db_echo: bool = Field(False, description="log every statement, without its values")
    db_connect_timeout_seconds: float = Field(5, gt=0, description="to open a connection")
    db_statement_timeout_seconds: ServerTimeout = Field(
        15, description="a statement's longest run; PostgreSQL then cancels it"
    )
    db_lock_timeout_seconds: ServerTimeout = Field(
        5, description="the longest wait for a row or table lock"
    )
    db_idle_in_transaction_seconds: ServerTimeout = Field(
        30, description="PostgreSQL ends a transaction left idle for so long"
    )
    db_silence_seconds: float = Field(
        2,
        gt=0,
        le=3600,
        description="after so long without an answer the server is asked whether it is there; "
        "if not, 503 at once",
    )
    db_prepared_statements: bool = Field(
        True, description="false behind PgBouncer in transaction mode"
    )

    @field_validator(
        "database_url_user",
        "database_url_general",
        "database_url_general_read",
        "database_url_user_owner",
        "database_url_general_owner",
        "database_url_user_relay",
        "database_url_general_relay",
    )
    @classmethod
    def _parse(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            DatabaseUrl(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _two_databases(self) -> Self:
        user, general = self.database_url_user, self.database_url_general
        if user and general and _url(user).is_same_as(_url(general)):
            raise ValueError(
                "DATABASE_URL_USER and DATABASE_URL_GENERAL name the same database; "
                "they must be two"
            )
        return self


def _url(value: SecretStr) -> DatabaseUrl:
    return DatabaseUrl(value.get_secret_value())
