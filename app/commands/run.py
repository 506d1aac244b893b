"""`litestar run`, made fit for operators: it looks first, and it stops with all its workers."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, SupportsIndex

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from app.config.settings import Settings, SettingsError, stop
from app.databases.sessions import Databases
from app.edge import protocol
from app.operations.metrics import listen
from app.telemetry.metrics import FOLDER

# A developer's switches; Litestar's own command knows what to do with them.
FOR_DEVELOPERS = (
    "reload",
    "reload_dir",
    "reload_include",
    "reload_exclude",
    "debug",
    "pdb",
    "create_self_signed_cert",
)

WORKER_STARTS_SECONDS = 60


def replace_run(command: click.Command, settings: Settings) -> None:
    """Litestar's command with its options, but another way to run.

    Its own starts several workers through a child process that a SIGTERM never reaches.
    """
    if command.callback is not None:
        command.callback = _instead_of(command.callback, settings)


def _instead_of(run: Callable[..., None], settings: Settings) -> Callable[..., None]:
    def look_first(**options: Any) -> None:
        _check(settings)
        if any(options[name] for name in FOR_DEVELOPERS):
            run(**options)
        else:
            with _shared_metrics(options["wc"]):
                _serve(settings, **options)

    return look_first


def _check(settings: Settings) -> None:
    """What must stop the start does so with one line, before a server is there to log it."""
    try:
        asyncio.run(Databases.create(settings).check())
        if settings.metrics and settings.metrics_port:
            listen(settings, shared=False).close()
    except SettingsError as error:
        raise stop(str(error)) from None


@contextmanager
def _shared_metrics(workers: int) -> Generator[None]:
    """Several workers' figures meet in a folder, which each reads of when it starts."""
    if workers == 1 or FOLDER in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="bicameral-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


def _serve(settings: Settings, **options: Any) -> None:
    is_alone = options["wc"] == 1
    arguments: dict[str, Any] = {
        "factory": not is_alone,
        "host": options["host"],
        "port": options["port"],
        "fd": options["fd"],
        "uds": options["uds"],
        "workers": options["wc"],
        "ssl_certfile": options["ssl_certfile"],
        "ssl_keyfile": options["ssl_keyfile"],
        "log_config": None,  # its lines are logged as ours are: see logs_plugin.py
        # uvicorn kills a worker silent for so long: on a busy machine it may be importing.
        "timeout_worker_healthcheck": WORKER_STARTS_SECONDS,
        "timeout_graceful_shutdown": settings.request_grace_seconds,
        **protocol.options(settings),
    }
    if is_alone:
        # Workers make the application themselves; for one that is alone it is here already.
        uvicorn.run(click.get_current_context().obj.app, **arguments)
    elif sys.platform == "linux" and not (options["fd"] or options["uds"]):
        _serve_apart(uvicorn.Config("app:create_app", **arguments))
    else:
        uvicorn.run("app:create_app", **arguments)


def _serve_apart(config: uvicorn.Config) -> None:
    """Each worker listens on a socket of its own, and Linux deals out the connections.

    Of one that they share, whoever wakes first takes all that wait: of 32 connections one worker
    was seen to have 29.
    """
    found = config.bind_socket()  # complains of a port that is taken, and says where we are
    address = found.getsockname()
    found.close()
    Multiprocess(config, sockets=[SocketForEach(found.family, address)]).run()


class SocketForEach(socket.socket):
    """Holds the port and never listens. A process it is sent to gets another at the same port."""

    def __init__(self, family: int, address: Any) -> None:
        super().__init__(family)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.bind(address)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return SocketForEach, (self.family, self.getsockname())
