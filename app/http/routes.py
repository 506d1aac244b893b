"""The decorators that make a route of a method: like Litestar's own, for routes with guards."""

from __future__ import annotations

from functools import partial

from litestar.enums import HttpMethod

from app.http.security import GuardedHandler

get = partial(GuardedHandler, http_method=HttpMethod.GET)
post = partial(GuardedHandler, http_method=HttpMethod.POST)
put = partial(GuardedHandler, http_method=HttpMethod.PUT)
patch = partial(GuardedHandler, http_method=HttpMethod.PATCH)
delete = partial(GuardedHandler, http_method=HttpMethod.DELETE)
