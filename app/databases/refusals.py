"""Tells what cannot work from what is away, in words for operators that hold no value."""

from __future__ import annotations

import socket
import ssl

from asyncpg import ClientConfigurationError

from app.databases.causes import causes, sqlstate

# The server itself says so, and would say it again.
REFUSED = {
    "28P01": "the server refuses the login's password",
    "28000": "the server refuses the login",
    "3D000": "there is no such database on the server",
    "42501": "the login may not connect to the database",
    "42704": "the server knows no such parameter; look at `options`",
    "22023": "the server refuses a parameter's value; look at `options`",
    "55P02": "the server refuses a parameter; look at `options`",
    "08P01": "a pooler refuses our parameters; set DB_PREPARED_STATEMENTS=false for PgBouncer",
}
# The order matters: the first that an error is an instance of.
AWAY = {
    socket.gaierror: "the host's name is not known",
    ssl.SSLCertVerificationError: "the server's certificate is not trusted",
    ssl.SSLError: "TLS could not be agreed on",
    ConnectionRefusedError: "nothing listens there",
    ConnectionResetError: "the connection was reset",
    FileNotFoundError: "there is no such socket",
    TimeoutError: "no answer in time",
}


def refusal(error: BaseException) -> str | None:
    """Say why the start must stop, if waiting will not mend it."""
    for link in causes(error):
        if isinstance(link, PermissionError):
            return f"permission denied: {link.filename or 'the socket'}"
        if isinstance(link, ClientConfigurationError):
            return str(link).partition("\n")[0]
    return REFUSED.get(sqlstate(error)[0] or "")


def reason(error: BaseException) -> str:
    """Say why a database is away."""
    if words := refusal(error):
        return words
    links = causes(error)
    known = (words for kind, words in AWAY.items() for link in links if isinstance(link, kind))
    return next(known, type(links[-1]).__name__)
