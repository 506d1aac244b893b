"""This sets Litestar's structlog plugin up, so that libraries' lines look like ours."""

from __future__ import annotations

from litestar.logging.config import LoggingConfig, StructLoggingConfig
from litestar.plugins.structlog import StructlogConfig, StructlogPlugin

from app.telemetry.logs import LOGGER, PROCESSORS, LibraryHandler, StandardError

HANDLER = {"()": LibraryHandler}


def logs_plugin() -> StructlogPlugin:
    """Return a plugin that logs no requests (telemetry.requests does) and no exceptions' texts."""
    config = StructLoggingConfig(
        processors=[*PROCESSORS],
        wrapper_class=LOGGER,
        logger_factory=lambda *_: StandardError(),
        log_exceptions="never",
        standard_lib_logging_config=LoggingConfig(
            # Litestar knows these two by name and would put a thread behind the second.
            handlers={"console": HANDLER, "queue_listener": HANDLER},
            loggers={"litestar": {"level": "INFO"}, "uvicorn": {"level": "INFO"}},
            root={"handlers": ["console"], "level": "WARNING"},
            log_exceptions="never",
        ),
    )
    return StructlogPlugin(StructlogConfig(config, enable_middleware_logging=False))
