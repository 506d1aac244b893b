"""However many signals end a command, it is interrupted once, and not after it has begun to end."""

from __future__ import annotations

import subprocess
import sys

from tests.support.dev import ROOT

RAISE = "signal.raise_signal(signal.SIGHUP)"
ONCE = f"""
import signal
from app.commands.signals import end_if_told, end_once
end_once()
end_if_told()
try:
    {RAISE}
except KeyboardInterrupt:
    print("interrupted")
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.raise_signal(number)
print("cleaned up")
"""
# A handler that another one has put back, as whoever ignores signals for a while does.
AGAIN = """
signal.signal(signal.SIGHUP, handler)
signal.raise_signal(signal.SIGHUP)
print("still cleaning up")
"""
IN_A_FINALIZER = f"""
import signal
from app.commands.signals import end_if_told, end_once
end_once()
class Finalized:
    def __del__(self):
        {RAISE}
Finalized()
print("swallowed")
try:
    end_if_told()
except KeyboardInterrupt:
    print("interrupted")
"""

IN_A_SERVER = """
import signal
from app.commands.signals import end_in_order
signal.signal(signal.SIGTERM, lambda number, _: print("told to end"))
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
end_in_order()
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.raise_signal(number)
"""


def said(program: str) -> list[str]:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_first_signal_interrupts_and_no_other_does() -> None:
    assert said(ONCE) == ["interrupted", "cleaned up"]


def test_not_even_one_whose_handler_was_put_back() -> None:
    program = ONCE.replace("end_if_told()\n", "handler = signal.getsignal(signal.SIGHUP)\n", 1)
    assert said(program + AGAIN)[-1] == "still cleaning up"


def test_an_interruption_that_a_finalizer_swallowed_is_made_up_for() -> None:
    assert said(IN_A_FINALIZER) == ["swallowed", "interrupted"]


def test_a_server_ends_by_the_signals_that_it_does_not_know_too() -> None:
    """One that whoever started it lets it ignore is ignored."""
    assert said(IN_A_SERVER) == ["told to end"]
