"""Checks the parameters of a database's URL: libpq's names, and what each may be."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

Check = Callable[[str], str | None]  # returns what is wrong


def _one_of(*values: str) -> Check:
    return lambda value: None if value in values else f"must be one of {', '.join(values)}"


def _number(value: str) -> str | None:
    return None if re.fullmatch(r"-?[0-9]{1,9}", value) else "must be a whole number"


def _up_to(limit: int) -> Check:
    """The kernel's limit, beyond which every connection would fail."""

    def check(value: str) -> str | None:
        return _number(value) or (None if int(value) <= limit else f"must be at most {limit}")

    return check


def _ports(value: str) -> str | None:
    return None if re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", value) else "must be a number"


def _file(value: str) -> str | None:
    try:
        with Path(value).open("rb"):
            return None
    except OSError as error:
        return f"names a file that cannot be read: {error.strerror}"


def _password_file(value: str) -> str | None:
    """Refuse what asyncpg would pass over, so that the password looked wrong."""
    if problem := _file(value):
        return problem
    status = Path(value).stat()
    if not stat.S_ISREG(status.st_mode) or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "must name a file that nobody but its owner may read; `chmod 600` it"
    return None


def _root_certificate(value: str) -> str | None:
    return None if value == "system" else _file(value)


def _anything(_: str) -> str | None:
    return None


TLS = _one_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# asyncpg honours these, or we do.
HONOURED: Final[Mapping[str, Check]] = {
    "host": _anything,
    "port": _ports,
    "user": _anything,
    "password": _anything,
    "dbname": _anything,
    "passfile": _password_file,
    "options": _anything,
    "application_name": _anything,
    "connect_timeout": _number,
    "target_session_attrs": _one_of(
        "any", "primary", "standby", "prefer-standby", "read-write", "read-only"
    ),
    "load_balance_hosts": _one_of("disable", "random"),
    "sslmode": _one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": _one_of("postgres", "direct"),
    "sslrootcert": _root_certificate,
    "sslcert": _file,
    "sslkey": _file,
    "sslcrl": _file,
    "sslpassword": _anything,
    "ssl_min_protocol_version": TLS,
    "ssl_max_protocol_version": TLS,
    "krbsrvname": _anything,
    "gsslib": _one_of("gssapi", "sspi"),
    "keepalives": _one_of("0", "1"),
    "keepalives_idle": _up_to(32_767),
    "keepalives_interval": _up_to(32_767),
    "keepalives_count": _up_to(127),
    "tcp_user_timeout": _number,
}
# With these values they ask for nothing but what is done anyway; with others the advice is said.
DONE_ANYWAY: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "channel_binding": (("disable", "prefer"), "is not supported; use sslmode=verify-full"),
    "gssencmode": (("disable", "prefer"), "is not supported; use sslmode=verify-full"),
    "sslsni": (("1",), "cannot be turned off"),
    "sslcompression": (("0",), "is not supported"),
    "client_encoding": (("auto", "utf8", "UTF8", "utf-8", "UTF-8"), "is always UTF8"),
    "schema": (("public",), "is not supported; the tables are in `public`"),
    "service": ((), "is not supported; write what its file says into the URL"),
    "pgbouncer": (("false",), "is not supported; set DB_PREPARED_STATEMENTS=false instead"),
}
ALIASES: Final[Mapping[str, str]] = {"database": "dbname"}
IGNORED: Final = frozenset({"fallback_application_name"})
NAME = re.compile(r"[A-Za-z_]{1,40}")
SECRETS: Final = ("password", "sslpassword")


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """Return what asyncpg or we are to honour; an empty value counts as none, as in libpq.

    Raises ValueError for what nobody can honour.
    """
    parameters: dict[str, str] = {}
    for name, value in given.items():
        if not value:
            continue
        name = ALIASES.get(name, name)
        if problem := _problem(name, value):
            raise ValueError(f"{_shown(name, given)} {problem}")
        if name in HONOURED:
            parameters[name] = value
    by_system = parameters.get("sslrootcert") == "system"
    if by_system and parameters.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError("sslrootcert=system needs sslmode=verify-full")
    return parameters


def _shown(name: str, given: Mapping[str, str]) -> str:
    """Name the parameter, unless it may be the rest of a password with a bare `&` in it."""
    is_known = name in HONOURED or name in DONE_ANYWAY
    is_plain = NAME.fullmatch(name) and not any(secret in given for secret in SECRETS)
    return name if is_known or is_plain else "a parameter"


def _problem(name: str, value: str) -> str | None:
    if check := HONOURED.get(name):
        return check(value)
    if name in DONE_ANYWAY:
        values, advice = DONE_ANYWAY[name]
        return None if value in values else advice
    return None if name in IGNORED else "is no parameter that the service knows; remove it"
