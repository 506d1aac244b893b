"""The log's two formats: JSON for machines, and lines that a person reads on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from app.server import create_app
from app.telemetry import log
from app.telemetry.logs import use_format
from tests.support.commands import ROOT
from tests.support.servers import Servers, settings_for

SAID = """
from app.telemetry import log; from app.telemetry.logs import use_format
use_format(None); log.info("listening", address="here")
"""


class Secret:
    def __repr__(self) -> str:
        return "s3cret"


@pytest.fixture(autouse=True)
def _as_it_was() -> Generator[None]:
    yield
    use_format("json")


def test_text_is_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    use_format("text")
    log.warning("request", status=503, route=None, price=Decimal(1), error="no\x1b[2J\nanswer")
    log.info("odd\x1b[2J", it=Secret(), at=datetime(2026, 1, 1, tzinfo=UTC))
    first, second = capfd.readouterr().err.splitlines()
    assert first[2:3] == ":"  # the time of day
    assert "warning" in first
    assert "status=503" in first
    assert "route" not in first
    # Nothing that a terminal would obey, and no more than JSON shows.
    assert "\x1b" not in first + second
    assert "it=Secret" in second


def test_json_is_for_machines(capfd: pytest.CaptureFixture[str]) -> None:
    use_format("json")
    log.info("request", status=200, it=Secret())
    assert json.loads(capfd.readouterr().err)["it"] == "Secret"


def test_a_line_says_only_the_type_of_an_object(capfd: pytest.CaptureFixture[str]) -> None:
    log.info("request", what=RuntimeError("a secret"))
    assert json.loads(capfd.readouterr().err)["what"] == "RuntimeError"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_format_is_a_setting(
    servers: Servers, capfd: pytest.CaptureFixture[str], log_format: str
) -> None:
    create_app(settings_for(servers, "none", log_format=log_format))
    capfd.readouterr()
    log.info("listening")
    assert capfd.readouterr().err.startswith("{") == (log_format == "json")


async def test_a_request_is_a_line_in_that_format(
    client: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    use_format("text")
    answer = await client.get("/health/live")
    shown = capfd.readouterr().err
    assert "route=/health/live" in shown
    assert f"request_id={answer.headers['x-request-id']}" in shown
    assert not shown.startswith("{")


def test_a_terminal_gets_text_and_a_file_json() -> None:
    command = [sys.executable, "-c", SAID]
    piped = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, check=True).stderr
    assert json.loads(piped)["address"] == "here"
    reading, writing = pty.openpty()
    subprocess.run(command, cwd=ROOT, stderr=writing, check=True)
    os.close(writing)
    shown = os.read(reading, 4096).decode()
    os.close(reading)
    assert "listening" in shown
    assert not shown.startswith("{")
