"""`litestar run`: it checks before it serves, limits every client, and stops with its workers.

The options are Litestar's own command's, which starts several workers through a child process that
a SIGTERM never reaches, and a server without our limits.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.cli._utils import create_ssl_files, validate_ssl_file_paths
from litestar.plugins import PluginProtocol
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload

from app.bridge.sealing.keys import Keys
from app.commands import figures, listening
from app.commands.running import lent
from app.commands.signals import end_in_order
from app.commands.worker import serve_as_worker
from app.commands.workers import Supervisor
from app.config.paths import ROOT
from app.config.settings import Settings, SettingsError, load_settings, stop
from app.edge.draining import Server, server_options
from app.operations.metrics import listen, own_port
from app.server import create_app
from app.telemetry import log

WORKER = "app.commands.run:create_service"
SWITCHES = {"debug": "LITESTAR_DEBUG", "pdb": "LITESTAR_PDB"}
RELOADING = ("reload", "reload_dir", "reload_include", "reload_exclude")
ANY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104  which includes every other
ENDING_SECONDS = 15  # once its requests are done: the relay, the pools, the interpreter
Options = dict[str, Any]
# Until a collection looks for cycles among the newest objects: more than the requests under way
# have, which make no cycles. Python's 700 are a few requests'.
ALLOCATIONS = 10_000
WITHOUT_OPTIONS: Options = dict.fromkeys(RELOADING, ())
NOTHING_MORE: Mapping[str, str] = {}


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
    gc.set_threshold(ALLOCATIONS)
    return service


def serve(service: Litestar, options: Options) -> None:
    settings: Settings = service.state.settings
    _check(settings)
    _check_ports(settings, options)
    _switch_on(service, options)
    arguments = _arguments(settings, options)
    with _listener(options) as listener:
        log.info("listening", address=_address(listener))
        if any(options[name] for name in RELOADING):
            serve_reloading(listener, arguments, options)
        elif options["wc"] == 1:
            serve_alone(listener, Config(service, **arguments), settings)
        else:
            sockets = _for_each(listener, options)
            _serve_with_workers(sockets, arguments, settings)


def _check(settings: Settings) -> None:
    """Stop with one line what must not start, before there is a server to log it."""
    try:
        asyncio.run(_check_databases(settings))
        if own_port(settings):
            listen(settings, shared=False).close()
    except SettingsError as error:
        raise stop(str(error)) from None


def _check_ports(settings: Settings, options: Options) -> None:
    """Two sockets can be bound to one port until one listens, and then nothing is served."""
    is_tcp = options["fd"] is None and not options["uds"]
    hosts = {options["host"], settings.metrics_host}
    is_shared = len(hosts) == 1 or bool(hosts & ANY_ADDRESS)
    if is_tcp and is_shared and own_port(settings) == options["port"] != 0:
        raise stop(f"METRICS_PORT: {options['port']} is the service's own; choose another")


async def _check_databases(settings: Settings) -> None:
    async with lent(settings) as databases:
        await databases.check()
        await Keys(settings, databases).check()


def _switch_on(service: Litestar, options: Options) -> None:
    """Litestar reads a developer's switches where an application is made; one is made already."""
    os.environ.update({SWITCHES[name]: "1" for name in SWITCHES if options[name]})
    service.debug, service.pdb_on_exception = options["debug"], options["pdb"]


def _arguments(settings: Settings, options: Options) -> Options:
    certificate, key = _certificate(options)
    return {
        "ssl_certfile": certificate,
        "ssl_keyfile": key,
        "log_config": None,  # its lines are logged as ours are: see logs_plugin.py
        "timeout_graceful_shutdown": settings.request_grace_seconds,
        **server_options(settings),
    }


def _certificate(options: Options) -> tuple[str, str] | tuple[None, None]:
    """Return certificate and key; Litestar's own error says which of the two is not there."""
    given = options["ssl_certfile"], options["ssl_keyfile"]
    if options["create_self_signed_cert"]:
        return create_ssl_files(*given, options["host"])
    certificate, key = validate_ssl_file_paths(*given)
    if certificate is None or key is None:
        return None, None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise stop(f"--ssl-certfile and --ssl-keyfile: {error}") from None
    return certificate, key


@contextmanager
def _listener(options: Options) -> Generator[socket.socket]:
    if options["fd"] is not None:
        yield listening.adopt(options["fd"])
    elif path := options["uds"]:
        yield listening.bind_unix(path)
        Path(path).unlink(missing_ok=True)
    else:
        yield listening.bind(options["host"], options["port"])


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    return name if isinstance(name, str) else f"{name[0]} port {name[1]}"


def serve_reloading(
    listener: socket.socket,
    arguments: Options,
    options: Options = WITHOUT_OPTIONS,
    environment: Mapping[str, str] = NOTHING_MORE,
) -> None:
    """Serve in a child process, which reads this process's environment, anew on each change."""
    os.environ.update(environment)
    os.environ.setdefault("REQUEST_DRAIN_SECONDS", "0")  # no proxy has to be told
    config = Config(
        WORKER,
        factory=True,
        reload=True,
        reload_dirs=[*options["reload_dir"]] or [str(ROOT / "app")],
        reload_includes=[*options["reload_include"]] or None,
        reload_excludes=[*options["reload_exclude"]] or None,
        **arguments,
    )
    end_in_order()
    ChangeReload(config, target=partial(serve_as_worker, config, 0), sockets=[listener]).run()


def serve_alone(listener: socket.socket, config: Config, settings: Settings) -> None:
    server = Server(config, settings.request_drain_seconds)
    end_in_order()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _serve_with_workers(
    sockets: list[socket.socket], arguments: Options, settings: Settings
) -> None:
    config = Config(WORKER, factory=True, **arguments)
    drain_seconds = settings.request_drain_seconds
    stop_seconds = drain_seconds + settings.request_grace_seconds + ENDING_SECONDS
    serve = partial(serve_as_worker, config, drain_seconds)
    with figures.shared():
        exit_code = Supervisor(serve, sockets, stop_seconds).run()
    if exit_code:
        sys.exit(exit_code)


def _for_each(listener: socket.socket, options: Options) -> list[socket.socket]:
    """Give each worker a socket of its own, so that Linux deals out the connections.

    From a socket that all share, the worker that wakes first takes every connection that waits:
    one was seen to have 29 of 32. Unix sockets, other systems, and a socket that somebody else has
    bound and keeps open, have only that.
    """
    workers: int = options["wc"]
    is_adopted = options["fd"] is not None
    if is_adopted or sys.platform != "linux" or listener.family == socket.AF_UNIX:
        return [listener] * workers
    address, family = listener.getsockname(), listener.family
    listener.close()  # it has shown that nobody else is there
    return [listening.bind_to(family, address, is_shared=True) for _ in range(workers)]
