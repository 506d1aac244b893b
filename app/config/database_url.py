"""Reads libpq's URLs, as managed databases hand them out, for asyncpg.

What is said of a URL that cannot be read shows nothing of it: where a character should have been
percent-encoded, the password may end anywhere.
"""

from __future__ import annotations

import getpass
import os
import re
import ssl
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlencode

from app.config.url_parameters import checked

SCHEME = re.compile(r"(?:postgresql|postgres|postgresql\+asyncpg|postgresql\+psycopg)://")
URL = re.compile(
    r"(?:(?P<user>[^@/?\[\]:]*)(?::(?P<password>[^@/?\[\]]*))?@)?"
    r"(?P<hosts>[^@/?]*)(?:/(?P<database>[^@/?]*))?(?:\?(?P<query>[^@?]*))?"
)
HOST = re.compile(r"(?P<name>\[[0-9A-Za-z:.%]+\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
PORT = re.compile(r"[0-9]{1,5}")
UNREADABLE = re.compile(r"[\s#\x00-\x1f\x7f]|%(?![0-9A-Fa-f]{2})")
ENCODE = (
    "cannot be read; percent-encode the special characters in the user's name and the password: "
    "@ is %40, : is %3A, / is %2F, # is %23, ? is %3F, % is %25, [ is %5B, ] is %5D"
)
NOT_TEXT = "is percent-encoded to what is no text: it must be UTF-8, without %00"
DEFAULT_PORT = 5432
LONGEST_SOCKET_BYTES = 107  # the kernel's; some other systems take fewer
LAST_PORT = 65_535
KEEPALIVES = (
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)


class Host(NamedTuple):
    """A name, an address, or a folder of Unix sockets; empty means what libpq defaults to."""

    name: str
    port: int


class DatabaseUrl:
    """A libpq URL as asyncpg takes it; its repr and str show neither password nor host."""

    __slots__ = (
        "_parameters", "connect_timeout_seconds", "database", "hosts", "in_random_order",
        "keepalives", "prefers_standby", "user", "verifies_by_system",
    )  # fmt: skip

    def __init__(self, url: str) -> None:
        parts = _split(url.strip())
        given = checked(_query(parts["query"]))
        names, ports = given.pop("host", None), given.pop("port", None)
        self.hosts = _hosts(parts["hosts"], names, ports)
        self.user = given.setdefault("user", _decoded(parts["user"])) or _own_name()
        self.database = given.setdefault("dbname", _decoded(parts["database"])) or self.user
        given.setdefault("password", _decoded(parts["password"]))
        # libpq's names for options of the socket, which is not asyncpg's to set.
        self.keepalives = {name: int(given.pop(name)) for name in KEEPALIVES if name in given}
        self.connect_timeout_seconds = _seconds(given.pop("connect_timeout", "0"))
        self.in_random_order = given.pop("load_balance_hosts", "disable") == "random"
        self.prefers_standby = given.get("target_session_attrs") == "prefer-standby"
        self.verifies_by_system = given.get("sslrootcert") == "system"
        if self.verifies_by_system:
            del given["sslrootcert"], given["sslmode"]
        self._parameters = {name: value for name, value in given.items() if value}

    def is_same_as(self, other: DatabaseUrl) -> bool:
        return self.database == other.database and bool({*self.hosts} & {*other.hosts})

    @property
    def dsn(self) -> str:
        return self.dsn_of(*self.hosts)

    def dsn_of(self, *hosts: Host) -> str:
        """Write the URL anew, for these hosts; all of it is in the query, and percent-encoded.

        With a slash before the query, asyncpg would take the empty path for the database's name.
        """
        places = {"host": ",".join(map(_bracketed, hosts)), "port": ",".join(map(_port, hosts))}
        places = places if any(host.name for host in hosts) else {"port": places["port"]}
        return f"postgresql://?{urlencode(self._parameters | places, quote_via=quote)}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return a context that verifies by the system's certificates, if that is asked for."""
        if not self.verifies_by_system:
            return None
        context = ssl.create_default_context()
        context.set_alpn_protocols(["postgresql"])
        return context

    def __repr__(self) -> str:
        return "DatabaseUrl(**********)"


def _split(url: str) -> dict[str, str]:
    scheme = SCHEME.match(url)
    if scheme is None:
        raise ValueError("must begin with postgresql://")
    parts = URL.fullmatch(url, scheme.end())
    if parts is None or UNREADABLE.search(url):
        raise ValueError(ENCODE)
    return parts.groupdict("")


def _decoded(text: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError(NOT_TEXT) from None
    if "\0" in decoded:
        raise ValueError(NOT_TEXT)
    return decoded


def _query(text: str) -> dict[str, str]:
    """Read name=value pairs; unlike in a form, a plus sign is a plus sign."""
    pairs = [one.partition("=") for one in text.split("&") if one]
    if any(not sign for _, sign, _ in pairs):
        raise ValueError("a parameter after ? is not written as name=value")
    return {_decoded(name): _decoded(value) for name, _, value in pairs}


def _hosts(authority: str, names: str | None, ports: str | None) -> tuple[Host, ...]:
    """Read the hosts of the authority, or those of `host=` and `port=`, as libpq does."""
    found = [HOST.fullmatch(one) for one in authority.split(",")]
    if not all(found):
        raise ValueError(ENCODE)
    written = [(_decoded(one["name"]).strip("[]"), one["port"]) for one in found if one]
    if names is not None:
        written = [(name.strip("[]"), None) for name in names.split(",")]
    if len(written) > 1 and not all(name for name, _ in written):
        raise ValueError("a host in the list is empty")
    numbers = ports.split(",") if ports else [port for _, port in written]
    numbers = numbers * len(written) if len(numbers) == 1 else numbers
    if len(numbers) != len(written):
        raise ValueError("there are not as many ports as hosts")
    return tuple(
        _host(name, _port_number(number))
        for (name, _), number in zip(written, numbers, strict=True)
    )


def _host(name: str, port: int) -> Host:
    """Raises ValueError for what neither a resolver nor the kernel takes."""
    if "," in name:  # asyncpg would take it for two
        raise ValueError("a host's name has a comma in it")
    if name.startswith("/"):
        if len(os.fsencode(f"{name}/.s.PGSQL.{port}")) > LONGEST_SOCKET_BYTES:
            raise ValueError("the path of a socket's folder is too long; name it by a shorter link")
        return Host(name, port)
    try:
        name.encode("idna")
    except UnicodeError:
        raise ValueError("a host's name has a part that is empty or too long, or no text") from None
    return Host(name, port)


def _port_number(text: str | None) -> int:
    given = text or os.environ.get("PGPORT") or str(DEFAULT_PORT)
    number = int(given) if PORT.fullmatch(given) else 0
    if not 0 < number <= LAST_PORT:
        name = "a port" if text else "PGPORT"
        raise ValueError(f"{name} must be a number from 1 to {LAST_PORT}")
    return number


def _own_name() -> str:
    """Return the name that libpq connects as when none is given."""
    try:
        return os.environ.get("PGUSER") or getpass.getuser()
    except (KeyError, OSError):
        raise ValueError(
            "names no user, and this account has no name; write postgresql://USER@…"
        ) from None


def _seconds(text: str) -> float | None:
    """Read libpq's integer; zero, negative or absent means to wait for as long as it takes."""
    return float(text) if float(text) > 0 else None


def _bracketed(host: Host) -> str:
    return f"[{host.name}]" if ":" in host.name and not host.name.startswith("/") else host.name


def _port(host: Host) -> str:
    return str(host.port)
