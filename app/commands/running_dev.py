"""Operators' commands that are told of no database find the `litestar dev` of this folder.

It leaves its URLs in its data folder, for its own user alone, for as long as it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from dotenv import dotenv_values

from app.commands.embedded.host import EmbeddedError, acquire
from app.config.settings import read_dot_env

DATA_DIR = Path(".bicameral")
URLS = "urls.env"
OURS = "DATABASE_URL_"


@contextmanager
def found_by_commands(data_dir: Path, urls: Mapping[str, str]) -> Generator[None]:
    """Leave the URLs where `connect_to_it` looks, also as `. urls.env` in a shell."""
    path = data_dir / URLS
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("".join(f"export {name}='{url}'\n" for name, url in urls.items()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def connect_to_it() -> None:
    """Have this process's settings name its databases, unless they name others."""
    if any(name.upper().startswith(OURS) for name in (*os.environ, *read_dot_env())):
        return
    with suppress(OSError, EmbeddedError):
        if _is_running():
            urls = dotenv_values(DATA_DIR / URLS)
            os.environ.update({name: url for name, url in urls.items() if url})
            if sys.stderr.isatty():
                click.echo("On the databases of the litestar dev that runs here.", err=True)


def _is_running() -> bool:
    """Try the lock that a run holds; the kernel has unlocked it of one that was killed."""
    with (DATA_DIR / "lock").open("r+") as lock:
        return not acquire(lock)
