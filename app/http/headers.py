"""Headers that every answer bears, a refused request's too."""

from __future__ import annotations

from app.config.settings import Settings

Headers = list[tuple[bytes, bytes]]

NOTHING_IS_LOADED = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),  # for browsers that know no frame-ancestors
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
NO_STORE = (b"cache-control", b"no-store")


def of_service(settings: Settings) -> Headers:
    if not settings.hsts_seconds:
        return ALWAYS
    value = f"max-age={settings.hsts_seconds}; includeSubDomains"
    return [*ALWAYS, (b"strict-transport-security", value.encode())]


def for_path(path: str, service: Headers, own: Headers) -> Headers:
    """No cache on the way may keep an answer of the API, an error included.

    The explorer's answers bring a policy of their own, which lets the page load its scripts.
    """
    if path.startswith("/v1/"):
        return [*own, *service, NOTHING_IS_LOADED, NO_STORE]
    if any(name == NOTHING_IS_LOADED[0] for name, _ in own):
        return [*own, *service]
    return [*own, *service, NOTHING_IS_LOADED]
