"""Names each revision to the operator as it runs; Alembic tells them to its log alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager

ALEMBIC = logging.getLogger("alembic.runtime.migration")
STEP = "Running "  # upgrade u0001 -> u0002, what it does


class Steps(logging.Handler):
    def __init__(self, database: str) -> None:
        super().__init__(logging.INFO)
        self._database = database

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(STEP):
            say(self._database, text.removeprefix(STEP))


def say(database: str, text: str) -> None:
    """Write to standard error: standard output is for the SQL of `--sql`."""
    sys.stderr.write(f"{database} database: {text}\n")
    sys.stderr.flush()


@contextmanager
def told(database: str) -> Generator[None]:
    steps, level, propagate = Steps(database), ALEMBIC.level, ALEMBIC.propagate
    ALEMBIC.addHandler(steps)
    ALEMBIC.setLevel(logging.INFO)
    ALEMBIC.propagate = False  # or the service's log would tell them a second time
    try:
        yield
    finally:
        ALEMBIC.removeHandler(steps)
        ALEMBIC.setLevel(level)
        ALEMBIC.propagate = propagate
