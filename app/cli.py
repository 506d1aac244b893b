"""The commands that `litestar` offers beside its own; each is imported when it is used.

Importing all of them would double the time of `--help`, and each worker would keep them in memory.
"""

from __future__ import annotations

import sys
from importlib import import_module
from traceback import walk_stack
from typing import Any, NoReturn

import click
from litestar.plugins import CLIPlugin

# Each command's name, its place, and the first line of its --help, which the tests compare.
COMMANDS = (
    ("database", "app.commands.migrate:database_group", "Migrate the two databases."),
    (
        "dev",
        "app.commands.dev:dev",
        "Run everything here: two PostgreSQL servers, their migrations, the service.",
    ),
    ("receipts", "app.commands.erasure:receipts", "Export and verify the receipts of erasures."),
    (
        "reconcile",
        "app.commands.reconcile:reconcile",
        "Compare the two databases. Exits 0 when they agree, 1 when they do not.",
    ),
    (
        "relay",
        "app.commands.erasure:relay",
        "Erase what deleted users said, until stopped; `litestar run` does so beside serving.",
    ),
    ("tenants", "app.commands.accounts:tenants", "Manage tenants."),
    ("users", "app.commands.accounts:users", "Manage users."),
)
ALIASES = {"database": "db"}


class Deferred(click.Command):
    """A command by its name and text: listing it imports nothing, using it imports the command."""

    def __init__(self, name: str, place: str, text: str, *, hidden: bool = False) -> None:
        super().__init__(name, help=text, hidden=hidden)
        self.place = place

    def command(self) -> click.Command:
        module, _, name = self.place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        return self.command().make_context(info_name, args, parent, **extra)


class Commands(CLIPlugin):
    """Adds our commands: `database` in place of Advanced Alchemy's, and a `run` of our own."""

    def on_cli_init(self, cli: click.Group) -> None:
        for name, place, text in COMMANDS:
            cli.add_command(Deferred(name, place, text))
            if alias := ALIASES.get(name):
                cli.add_command(Deferred(alias, place, text, hidden=True))
        cli.commands["run"].callback = run  # with the options of Litestar's


def run(**options: Any) -> None:
    """Serve, as app/commands/run.py says why not by Litestar's own command."""
    from app.commands.run import serve

    serve(click.get_current_context().obj.app, options)


def is_litestar() -> bool:
    """Tell whether Litestar's command line is what asks for the application."""
    frames = (frame for frame, _ in walk_stack(None))
    return any(frame.f_globals.get("__name__") == "litestar.cli._utils" for frame in frames)


def is_listing() -> bool:
    """Tell whether Litestar needs the application for `litestar --help` alone.

    It makes the application before it runs a command, or while it writes its own help.
    """
    return click.get_current_context(silent=True) is not None


def refuse_server() -> NoReturn:
    """End a server that is not ours, with one line.

    uvicorn and gunicorn start a worker again when it ends, unless its exit code is this one.
    """
    sys.stderr.write("bicameral: no other server keeps its limits; start it with `litestar run`\n")
    raise SystemExit(3)
