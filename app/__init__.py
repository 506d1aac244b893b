"""Bicameral: two PostgreSQL databases, one truth about who exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar import Litestar

__all__ = ("create_app",)


def create_app() -> Litestar:
    """Make what `litestar` finds here from the repository's root: the service, or its commands.

    Any other server is refused: only `litestar run` limits what clients may hold and make it wait.
    """
    from app import cli

    if not cli.is_litestar():
        cli.refuse_server()
    if cli.is_listing():
        from litestar import Litestar

        return Litestar(plugins=[cli.Commands()])

    from app.commands.run import create_service

    return create_service(cli.Commands())
