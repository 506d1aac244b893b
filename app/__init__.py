"""Bicameral: two PostgreSQL databases, one truth about who exists."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar import Litestar

__all__ = ("create_app",)


def create_app() -> Litestar:
    """The factory `litestar` and `uvicorn app:create_app --factory` find from the repository root.

    Reads the environment. A setting that is missing or wrong ends the process with one line,
    never a traceback: that line is what an operator sees in the logs of a failed start.
    """
    from app.cli import Commands, is_listing

    if is_listing():
        from litestar import Litestar

        return Litestar(plugins=[Commands()])

    from app.config.settings import SettingsError, load_settings, stop
    from app.server import create_app as create

    try:
        settings = load_settings()
        app = create(settings, plugins=[Commands(settings)])
    except SettingsError as error:
        raise stop(str(error)) from None
    gc.freeze()  # what is there now stays: collections need not look at it again
    return app
