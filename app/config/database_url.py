"""Makes libpq's URLs, as managed databases hand them out, fit for asyncpg."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

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


class DatabaseUrl:
    """A libpq URL as asyncpg takes it; its repr and str show neither password nor host."""

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
        self.user = options.get("user") or unquote(parts.username or "")
        host = options.get("host") or parts.hostname or ""
        port = options.get("port") or str(parts.port or 5432)
        self.target = (host, port, options.get("dbname") or parts.path.lstrip("/"))

    def __repr__(self) -> str:
        return "DatabaseUrl(**********)"


def _seconds(value: str | None) -> float | None:
    """Read libpq's integer; zero, negative or absent means to wait for as long as it takes."""
    return float(value) if value and float(value) > 0 else None
