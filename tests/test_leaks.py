"""A secret in what a test has read by itself fails the test, as one in the log does."""

from __future__ import annotations

import sys

import pytest

from tests.support import leaks
from tests.support.commands import python

SECRET = "bic_" + "x" * 40


def report() -> pytest.TestReport:
    """Make the report of a test that has passed, and printed nothing."""
    return pytest.TestReport("a_test", ("", 0, ""), {}, "passed", None, "teardown")


def failed() -> bool:
    one = report()
    leaks.check(one)
    return one.failed


def test_what_was_taken_out_of_a_capture_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    print(SECRET)  # noqa: T201
    assert SECRET in capsys.readouterr().out
    assert failed()
    assert not failed()  # the next test is not blamed


def test_what_a_process_has_written_is_looked_at(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.flush()
    assert SECRET not in capfd.readouterr().out
    assert not failed()


async def test_what_a_command_writes_into_a_pipe_is_looked_at() -> None:
    ended = await python("-c", f"import sys; sys.stderr.write('{SECRET}')", env={})
    assert (ended.code, ended.err) == (0, SECRET)
    assert failed()
