"""`litestar run`: it checks before it serves, limits every client, and stops with its workers.

The options are Litestar's own command's, which starts several workers through a child process that
a SIGTERM never reaches, and a server without our limits.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, SupportsIndex

import uvicorn
from litestar import Litestar
from litestar.cli._utils import create_ssl_files, validate_ssl_file_paths
from litestar.plugins import PluginProtocol
from uvicorn.supervisors import Multiprocess

from app.config.paths import ROOT
from app.config.settings import Settings, SettingsError, load_settings, stop
from app.databases.database import Databases
from app.edge import protocol
from app.operations.metrics import listen
from app.server import create_app
from app.telemetry.metrics import FOLDER

WORKER = "app.commands.run:create_service"
WORKER_STARTS_SECONDS = 60
SWITCHES = {"debug": "LITESTAR_DEBUG", "pdb": "LITESTAR_PDB"}


def create_service(*plugins: PluginProtocol) -> Litestar:
    """Make the service on the environment's settings; each worker process begins here.

    A setting that is missing or wrong ends the process with one line, never a traceback: that
    line is what an operator sees in the logs of a failed start.
    """
    try:
        settings = load_settings()
        service = create_app(settings, plugins)
    except SettingsError as error:
        raise stop(str(error)) from None
    gc.freeze()  # later collections need not look at what is there by now
    return service


def serve(service: Litestar, options: dict[str, Any]) -> None:
    settings: Settings = service.state.settings
    _check(settings)
    _switch_on(service, options)
    with _shared_metrics(options["wc"]):
        _serve(service, settings, options)


def _check(settings: Settings) -> None:
    """Stop with one line what must not start, before there is a server to log it."""
    try:
        asyncio.run(Databases.create(settings).check())
        if settings.metrics and settings.metrics_port:
            listen(settings, shared=False).close()
    except SettingsError as error:
        raise stop(str(error)) from None


def _switch_on(service: Litestar, options: dict[str, Any]) -> None:
    """Litestar reads a developer's switches where an application is made; one is made already."""
    os.environ.update({SWITCHES[name]: "1" for name in SWITCHES if options[name]})
    service.debug, service.pdb_on_exception = options["debug"], options["pdb"]


@contextmanager
def _shared_metrics(workers: int) -> Generator[None]:
    """Name a folder in which workers share their figures; prometheus_client reads it at import."""
    if workers == 1 or FOLDER in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="bicameral-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


def _serve(service: Litestar, settings: Settings, options: dict[str, Any]) -> None:
    arguments = _arguments(settings, options)
    if any(options[name] for name in ("reload", "reload_dir", "reload_include", "reload_exclude")):
        os.environ.setdefault("REQUEST_DRAIN_SECONDS", "0")  # no proxy has to be told
        uvicorn.run(WORKER, factory=True, reload=True, **_reloading(options), **arguments)
    elif options["wc"] == 1:
        uvicorn.run(service, **arguments)
    elif sys.platform == "linux" and not (options["fd"] or options["uds"]):
        _serve_apart(uvicorn.Config(WORKER, factory=True, workers=options["wc"], **arguments))
    else:
        uvicorn.run(WORKER, factory=True, workers=options["wc"], **arguments)


def _arguments(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    certificate, key = _certificate(options)
    return {
        "host": options["host"],
        "port": options["port"],
        "fd": options["fd"],
        "uds": options["uds"],
        "ssl_certfile": certificate,
        "ssl_keyfile": key,
        "log_config": None,  # its lines are logged as ours are: see logs_plugin.py
        # uvicorn kills a worker silent for so long: on a busy machine it may be importing.
        "timeout_worker_healthcheck": WORKER_STARTS_SECONDS,
        "timeout_graceful_shutdown": settings.request_grace_seconds,
        **protocol.options(settings),
    }


def _certificate(options: dict[str, Any]) -> tuple[str, str] | tuple[None, None]:
    """Return certificate and key; Litestar's own error says which of the two is not there."""
    files = options["ssl_certfile"], options["ssl_keyfile"]
    if options["create_self_signed_cert"]:
        return create_ssl_files(*files, options["host"])
    return validate_ssl_file_paths(*files)


def _reloading(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "reload_dirs": list(options["reload_dir"]) or [str(ROOT / "app")],
        "reload_includes": list(options["reload_include"]) or None,
        "reload_excludes": list(options["reload_exclude"]) or None,
    }


def _serve_apart(config: uvicorn.Config) -> None:
    """Have each worker listen on a socket of its own, so that Linux deals out the connections.

    From a socket that all share, the worker that wakes first takes every connection that waits:
    one was seen to have 29 of 32.
    """
    found = config.bind_socket()  # a port in use ends the start here; so does nothing else
    address = found.getsockname()
    found.close()
    Multiprocess(config, sockets=[SocketForEach(found.family, address)]).run()


class SocketForEach(socket.socket):
    """Holds the port and never listens; pickled, it becomes another socket at the same port."""

    def __init__(self, family: int, address: Any) -> None:
        super().__init__(family)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.bind(address)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return SocketForEach, (self.family, self.getsockname())
