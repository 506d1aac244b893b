"""Secrets that must never stand in a log are looked for in what every test has written."""

from __future__ import annotations

import re

import pytest
from _pytest.capture import CaptureResult

from tests.support.factories import PASSWORD

# Whatever the tests use as passwords, tokens (with more than their prefix), e-mail addresses and
# message texts. `bic_…` is how the documents write a token.
CANARIES = {
    "a password": re.escape(PASSWORD) + "|another quiet corner|not the password at all",
    "a password hash": r"\$argon2id\$",
    "a token": r"bic_[A-Za-z0-9_-]{20,}",
    "an e-mail address": r"[A-Za-z0-9._+-]+@(?:[a-z]+\.)*example\.?(?:org|com)?\b",
    "an external id": r"\bours-[0-9]{4}\b",
    "a message's text": r"message text [0-9a-f-]{8}|a distinctive message text",
}


def leaks(text: str) -> list[str]:
    return [what for what, pattern in CANARIES.items() if re.search(pattern, text)]


_read: list[str] = []  # what the running test has taken out of a capture, or out of a pipe


def note(text: str) -> str:
    """Keep what a test reads by itself, so that it is looked at as well."""
    _read.append(text)
    return text


def overheard(capture: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """Note what this capture gives away: no report of the test would have it any more."""
    given = capture.readouterr

    def readouterr() -> CaptureResult[str]:
        result = given()
        note(result.out + result.err)
        return result

    vars(capture)["readouterr"] = readouterr
    return capture


def check(report: pytest.TestReport) -> None:
    """Fails the test whose output, of its fixtures and subprocesses too, holds one."""
    if report.when != "teardown":
        return
    found = leaks(report.capstdout + report.capstderr + report.caplog + "".join(_read))
    _read.clear()
    if found and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: the logs hold {', '.join(found)}"
