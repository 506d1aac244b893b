"""`litestar version` names the service first: Litestar's own would name Litestar alone."""

from __future__ import annotations

from importlib import metadata

import click
from litestar import __version__


@click.command()
@click.option("-s", "--short", is_flag=True, help="The service's alone, as 0.1.0.")
def version(short: bool) -> None:
    """Show the versions of Bicameral and of Litestar."""
    ours = metadata.version("bicameral")
    click.echo(
        ours if short else f"Bicameral {ours} on Litestar {__version__.formatted(short=True)}"
    )
