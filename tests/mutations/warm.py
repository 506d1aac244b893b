"""A process that has imported what the tests need, and forks for each run of pytest.

It is a script of its own, which imports nothing of `app` and `tests`, and so nothing of Litestar's
that imports our commands: those come from the tree of each run. Runs come as lines of JSON on
standard input; each answer is a line with the exit code, or null for a run that took too long.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

POLL_SECONDS = 0.1
OF_THE_TREE = ("app", "tests")


def main() -> None:
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(OF_THE_TREE))  # whatever imports one of these fails
    for name in json.loads(sys.stdin.readline()):
        with suppress(Exception):
            importlib.import_module(name)
    for name in OF_THE_TREE:
        del sys.modules[name]
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(_ran(json.loads(line))), flush=True)  # noqa: T201  the answer


def _ran(run: dict[str, Any]) -> int | None:
    pid = os.fork()
    if pid == 0:
        os._exit(_run_tests(run))
    until = time.monotonic() + run["seconds"]
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_SECONDS)
    with suppress(ProcessLookupError):  # it has ended just now
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _run_tests(run: dict[str, Any]) -> int:
    os.setsid()
    output = os.open(run["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(file, number)
    os.chdir(run["tree"])
    os.environ.update(run["environment"])
    sys.path.insert(0, run["tree"])
    import pytest

    code = int(pytest.main(run["arguments"]))
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    main()
