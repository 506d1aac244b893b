"""HEAD is answered wherever GET is, and a path names the methods it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.status_codes import HTTP_204_NO_CONTENT

if TYPE_CHECKING:
    from litestar import Litestar


class MethodsPlugin(ReceiveRoutePlugin):
    """Has GET's handler answer HEAD, too: the server sends the headers and leaves out the body."""

    def receive_route(self, route: BaseRoute) -> None:
        if not isinstance(route, HTTPRoute):
            return
        handlers = route.route_handler_map
        if "GET" in handlers:
            handlers["HEAD"] = handlers["GET"]
        ours = _options_handler(", ".join(sorted(handlers)), handlers["OPTIONS"][0])
        handlers["OPTIONS"] = ours, ours.create_kwargs_model(route.path_parameters)
        # Litestar answers 405 with `Allow` in this order.
        route.route_handler_map = dict(sorted(handlers.items()))


def _options_handler(allowed: str, theirs: HTTPRouteHandler) -> HTTPRouteHandler:
    """Replace Litestar's own, which lists the methods of the path's first handler only."""

    def options_handler() -> Response[None]:
        return Response(None, status_code=HTTP_204_NO_CONTENT, headers={"Allow": allowed})

    made = HTTPRouteHandler(http_method="OPTIONS", include_in_schema=False, sync_to_thread=False)
    handler = made(options_handler)
    handler.owner = theirs.owner
    handler.on_registration(cast("Litestar", theirs.ownership_layers[0]))
    return handler
