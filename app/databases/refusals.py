"""Tells what cannot work from what is away, in words for operators that hold no value."""

from __future__ import annotations

import socket
import ssl

from asyncpg import ClientConfigurationError, TargetServerAttributeNotMatched

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
ROOT_ADVICE = "; name another with sslrootcert, or set sslrootcert=system"
TLS_FILES = "a file of sslrootcert, sslcrl, sslcert or sslkey is not what it should be"
# The order matters: the first that an error is an instance of.
AWAY = {
    socket.gaierror: "the host's name is not known",
    ssl.SSLCertVerificationError: "the server's certificate is not trusted",
    ssl.SSLError: "TLS could not be agreed on",
    ConnectionRefusedError: "nothing listens there",
    ConnectionResetError: "the connection was reset",
    FileNotFoundError: "there is no such socket",
    TargetServerAttributeNotMatched: "no server there is what target_session_attrs asks for",
    TimeoutError: "no answer in time",
}


def refusal(error: BaseException) -> str | None:
    """Say why the start must stop, if waiting will not mend it."""
    for link in causes(error):
        if isinstance(link, PermissionError):
            return f"permission denied: {link.filename or 'the socket'}"
        if isinstance(link, ClientConfigurationError):
            line = str(link).partition("\n")[0]
            return line + ROOT_ADVICE * line.startswith("root certificate file")
        if isinstance(link, ssl.SSLError) and _is_of_our_files(link):
            return TLS_FILES
    return REFUSED.get(sqlstate(error)[0] or "")


def _is_of_our_files(error: ssl.SSLError) -> bool:
    """Tell what failed before anything was sent: OpenSSL has no code for it in all cases."""
    return error.library in ("X509", "PEM") or "PEM lib" in str(error)


def reason(error: BaseException) -> str:
    """Say why a database is away."""
    if words := refusal(error):
        return words
    links = causes(error)
    known = (words for kind, words in AWAY.items() for link in links if isinstance(link, kind))
    return next(known, type(links[-1]).__name__)
