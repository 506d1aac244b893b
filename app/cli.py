"""The commands that `litestar` offers beside its own; each is imported when it is used.

Importing all of them would double the time of `--help`, and each worker would keep them in memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from traceback import walk_stack
from typing import Any, NoReturn

import click
from litestar.plugins import CLIPlugin

COMPLETING = "_LITESTAR_COMPLETE"  # click's; set while the shell asks what a word may become


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
        if self.name != "dev" and not extra.get("resilient_parsing"):
            from app.commands.running_dev import connect_to_it

            connect_to_it()
        context = self.command().make_context(info_name, args, parent, **extra)
        context.with_resource(plain_ends())
        return context


@contextmanager
def plain_ends() -> Generator[None]:
    """End with one line where what a command says cannot be written: a full disk, a closed file.

    A pipe that its reader has closed is left to click, which then says nothing.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _forget_output()
        place = error.filename or "standard output"
        raise SystemExit(f"bicameral: {place}: {error.strerror or error}") from None


def _forget_output() -> None:
    """Python writes what is left of it when it ends, and would then tell of it once more."""
    with suppress(AttributeError, OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


# In pyproject.toml each is an entry point of Litestar's, by its name here. The text is the first
# line of the command's --help, which the tests compare.
api_keys = Deferred("api-keys", "app.commands.credentials:api_keys", "Manage API keys.")
audit = Deferred("audit", "app.commands.audit:audit", "Export audit events.")
database = Deferred("database", "app.commands.migrate:database_group", "Migrate the two databases.")
dev = Deferred(
    "dev",
    "app.commands.dev:dev",
    "Run everything here: two PostgreSQL servers, their migrations, the service.",
)
export = Deferred(
    "export",
    "app.commands.export:export",
    "Write all that people have said to FILE, or to standard output, for an import.",
)
holds = Deferred("holds", "app.commands.holds:holds", "Place and lift legal holds.")
import_ = Deferred(
    "import",
    "app.commands.importing:import_",
    "Store the conversations of an export in the general database.",
)
distribute = Deferred(
    "distribute",
    "app.commands.distribute:distribute",
    "Spread the general database's tables over the workers of Citus, by tenant.",
)
keys = Deferred(
    "keys", "app.commands.keys:keys", "Manage the keys under which people's words are sealed."
)
receipts = Deferred(
    "receipts", "app.commands.erasure:receipts", "Export and verify the receipts of erasures."
)
reconcile = Deferred(
    "reconcile",
    "app.commands.reconcile:reconcile",
    "Compare the two databases. Exits 0 when they agree, 1 when they do not.",
)
relay = Deferred(
    "relay",
    "app.commands.erasure:relay",
    "Erase what deleted users said, until stopped; `litestar run` does so beside serving.",
)
retention = Deferred(
    "retention",
    "app.commands.retention:retention",
    "Delete the conversations that were kept long enough, now; a relay does so by itself.",
)
tenants = Deferred("tenants", "app.commands.accounts:tenants", "Manage tenants.")
tokens = Deferred("tokens", "app.commands.credentials:tokens", "Manage people's access tokens.")
users = Deferred("users", "app.commands.accounts:users", "Manage users.")
version = Deferred(
    "version", "app.commands.version:version", "Show the versions of Bicameral and of Litestar."
)
whose = Deferred(
    "whose",
    "app.commands.whose:whose",
    "Tell whose account, or which address, a DIGEST in the log stands for.",
)
COMMANDS = (
    *(api_keys, audit, database, dev, distribute, export, holds, import_, keys, receipts),
    *(reconcile, relay, retention, tenants, tokens, users, version, whose),
)
db = Deferred("db", database.place, database.help or "", hidden=True)


class Commands(CLIPlugin):
    """Puts ours in the place of what Litestar and Advanced Alchemy bring under the same names."""

    def on_cli_init(self, cli: click.Group) -> None:
        for command in (*COMMANDS, db):
            cli.add_command(command)
        cli.commands["run"].callback = run  # with the options of Litestar's
        cli.commands.pop("sessions", None)  # of Litestar's own kind, which there are none of here


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

    It makes the application before it runs a command, or while it writes its own help. A shell
    that completes a word lists, too.
    """
    return COMPLETING in os.environ or click.get_current_context(silent=True) is not None


def _be_found_anywhere() -> None:
    """Make ours the application in any folder, and `.env` the working directory's alone.

    Litestar would look for `app/` in this folder, and load the `.env` of whichever folder above its
    own installation has one.
    """
    os.environ.setdefault("LITESTAR_APP", "app:create_app")
    os.environ.setdefault("LITESTAR_QUIET_CONSOLE", "1")
    os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")


def refuse_server() -> NoReturn:
    """End a server that is not ours, with one line.

    uvicorn and gunicorn start a worker again when it ends, unless its exit code is this one.
    """
    sys.stderr.write("bicameral: no other server keeps its limits; start it with `litestar run`\n")
    raise SystemExit(3)


if is_litestar():
    _be_found_anywhere()
