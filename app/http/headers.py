"""Headers that every answer bears, a refused request's too."""

from __future__ import annotations

from app.config.settings import Settings

Headers = list[tuple[bytes, bytes]]

ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),  # for browsers that know no frame-ancestors
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
NO_STORE = (b"cache-control", b"no-store")


def of_service(settings: Settings) -> Headers:
    """Return the headers that these settings add to every answer."""
    found = [*ALWAYS]
    if settings.hsts_seconds:
        value = f"max-age={settings.hsts_seconds}; includeSubDomains"
        found.append((b"strict-transport-security", value.encode()))
    if settings.cors_allowed_origins:
        found.append((b"vary", b"Origin"))  # a cache must not give one origin's answer to another
    return found


def for_path(path: str, service: Headers, own: Headers) -> Headers:
    """Complete an answer's own headers; where it brings one of these itself, its own stands.

    No cache on the way may keep an answer of the API, an error included.
    """
    theirs = {name for name, _ in own}
    added = [*service, NO_STORE] if path.startswith("/v1/") else service
    return [*own, *(header for header in added if header[0] not in theirs)]


def under(root_path: str, own: Headers) -> Headers:
    """Put the prefix that a proxy shows the service under before each `Location`."""
    prefix = root_path.encode()
    return [(n, prefix + v if n == b"location" and v.startswith(b"/") else v) for n, v in own]
