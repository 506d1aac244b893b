"""What `litestar` offers beside Litestar's own. What a command does is imported when it is used.

Importing all of it would double the time of `--help`, and each worker would keep it in memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
from litestar.plugins import CLIPlugin

if TYPE_CHECKING:
    from app.config.settings import Settings

# Name, place and text of each, as its own --help says; tests/commands/test_cli.py compares them.
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
    """Listing it imports nothing; using it turns it into the command it stands for."""

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
    """Adds ours: `database` in place of Advanced Alchemy's, and a careful `run`.

    Without settings they can only be listed.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def on_cli_init(self, cli: click.Group) -> None:
        for name, place, text in COMMANDS:
            cli.add_command(Deferred(name, place, text))
            if alias := ALIASES.get(name):
                cli.add_command(Deferred(alias, place, text, hidden=True))
        if self._settings:
            from app.commands.run import replace_run

            replace_run(cli.commands["run"], self._settings)


def is_listing() -> bool:
    """Whether the application is wanted for `litestar --help` alone.

    Litestar makes it after it has read its own options, and while it reads them for nothing else.
    """
    return click.get_current_context(silent=True) is not None
