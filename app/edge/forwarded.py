"""Behind a proxy a request is its client's: the proxy's own address and path are put aside.

Each proxy on the way adds the address it was asked from at the end of X-Forwarded-For. What stands
before the first address that is no proxy of ours, its client may have written itself. Without
TRUSTED_PROXIES no header is believed, from this machine neither.

ROOT_PATH is taken from a path that begins with it, so a proxy may strip it or not. It does not
become ASGI's `root_path`: Litestar would cut a path wherever that occurs in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from app.config.proxies import TrustedProxies, parse_proxies
from app.config.request_settings import split
from app.http.addresses import IPAddress, parsed

if TYPE_CHECKING:
    from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

    from app.config.settings import Settings

SCHEMES = ("http", "https")
Address = tuple[str, int]


def behind_proxies(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Wrap the whole application, so that logs, lanes and throttling see the client."""
    trusted, root_path = parse_proxies(split(settings.trusted_proxies)), settings.root_path
    if not (any(trusted) or root_path):
        return app

    async def forwarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _believe(cast("HTTPScope", scope), trusted)
            scope["path"] = without_prefix(scope["path"], root_path)
        await app(scope, receive, send)

    return forwarded


def without_prefix(path: str, prefix: str) -> str:
    if path == prefix or path.startswith(prefix + "/"):
        return path[len(prefix) :] or "/"
    return path


def _believe(scope: HTTPScope, trusted: TrustedProxies) -> None:
    """Replace client and scheme by what trusted proxies say of them."""
    peer = scope["client"]
    if not (trusted.has_unix if peer is None else is_trusted(parsed(peer[0]), trusted)):
        return
    addresses = _items(scope, b"x-forwarded-for")
    client, hops = client_behind(addresses, trusted)
    if client is not None:
        scope["client"] = (str(client), 0)
    # A proxy that adds the scheme it was asked by adds it at the place of that address.
    schemes = _items(scope, b"x-forwarded-proto")[-hops - 1 :]
    if schemes and schemes[0].lower() in SCHEMES:
        scope["scheme"] = schemes[0].lower()


def client_behind(addresses: list[str], trusted: TrustedProxies) -> tuple[IPAddress | None, int]:
    """Find the right-most address that is no trusted proxy's, and how many of those follow it.

    Where all are trusted it is the left-most. An unreadable one (`unknown`) ends the search at the
    proxy that wrote it.
    """
    client = None
    for hops, text in enumerate(reversed(addresses)):
        address = _address(text)
        if address is None:
            return client, hops
        client = address
        if not is_trusted(address, trusted):
            return client, hops
    return client, max(0, len(addresses) - 1)


def is_trusted(address: IPAddress | None, trusted: TrustedProxies) -> bool:
    return address is not None and any(address in network for network in trusted.networks)


def _items(scope: HTTPScope, wanted: bytes) -> list[str]:
    """Return a list's items; several headers are one list (RFC 9110, 5.3)."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return [item for value in values for part in value.split(",") if (item := part.strip())]


def _address(text: str) -> IPAddress | None:
    """Read an address that may bear a port: `192.0.2.1:80`, `[2001:db8::1]:80`, `[2001:db8::1]`."""
    if text.startswith("["):
        return parsed(text[1:].partition("]")[0])
    return parsed(text.partition(":")[0] if text.count(":") == 1 else text)
