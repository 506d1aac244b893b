"""Settings of how requests are received, bounded and refused."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from app.config.database_settings import DatabaseSettings
from app.config.proxies import parse_proxies

# What a browser sends in `Origin`: nothing else can ever equal it.
ORIGIN = re.compile(r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
# Nothing that is written in two ways, encoded or not, and no `.` or `..` of a whole part.
ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")


class RequestSettings(DatabaseSettings):
    request_timeout_seconds: float = Field(
        30, gt=0, description="from a request's last byte to its answer's first; then 503"
    )
    request_receive_seconds: float = Field(
        20, gt=0, description="for a request's head to arrive, and for its body; then 408"
    )
    request_max_head_bytes: int = Field(
        32_768, ge=1024, description="longer request headers are refused with 431"
    )
    request_max_body_bytes: int = Field(
        10 * 1024 * 1024, ge=1024, description="a longer request body is refused with 413"
    )
    request_bodies_max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024,
        description="large bodies together, per worker; beyond it 503",
    )
    request_concurrency: int = Field(
        16, ge=1, description="requests worked on at a time, per worker and lane"
    )
    request_queue: int = Field(
        112, ge=0, description="requests that may wait for that; one more is answered 503"
    )
    request_exports: int = Field(
        8, ge=1, description="exports streamed at a time, per worker; one more is answered 503"
    )
    request_rate_per_token: float = Field(
        0, ge=0, description="requests a second a token may make, per worker; 0: any number"
    )
    request_burst_per_token: int = Field(
        100, ge=1, description="requests it may make at once; one more is answered 429"
    )
    request_drain_seconds: float = Field(
        3, ge=0, description="when stopping: requests are still taken for so long, unready"
    )
    request_grace_seconds: int = Field(
        20, ge=1, description="when stopping: how long requests under way may then still take"
    )
    trusted_proxies: str = Field(
        "",
        description="addresses and networks, by commas, whose `X-Forwarded-For` and `-Proto` "
        "are believed; `unix`: whoever connects to a Unix socket",
    )
    root_path: str = Field(
        "", description="the path under which a proxy shows the service, stripped or not: /chat"
    )
    cors_allowed_origins: str = Field(
        "", description="origins whose pages may call the API, by commas: https://app.example.org"
    )
    hsts_seconds: int = Field(
        0, ge=0, description="max-age of Strict-Transport-Security; 0: it is not sent"
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        parse_proxies(split(value))
        return value

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, value: str) -> str:
        if value and not ROOT_PATH.fullmatch(value):
            raise ValueError(
                "must begin with a slash and not end with one, of letters, digits, `.`, `_`, `~` "
                "and `-`: /chat"
            )
        return value

    @field_validator("cors_allowed_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        for origin in split(value):
            if origin != "*" and not _is_origin(origin):
                raise ValueError(
                    "each must be as a browser sends it, in small letters and with nothing after "
                    "the host or port: https://app.example.org, http://localhost:5173, or * alone"
                )
        return value


def split(value: str) -> list[str]:
    """Items of a list separated by commas."""
    return [item for part in value.split(",") if (item := part.strip())]


def _is_origin(text: str) -> bool:
    scheme, _, rest = text.partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return bool(ORIGIN.fullmatch(text)) and not rest.endswith(default)
