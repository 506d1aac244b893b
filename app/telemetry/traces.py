"""Traces: off, and OpenTelemetry not even imported, unless its standard variables say otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.config.settings import SettingsError

if TYPE_CHECKING:
    from app.telemetry.spans import Spans

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# One for the process, as OpenTelemetry has it.
spans: Spans | None = None


def exporters(environ: Mapping[str, str]) -> list[str]:
    """OTEL_TRACES_EXPORTER's; without it, OTLP once an endpoint is named. Empty: traces are off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not named and any(environ.get(name) for name in ENDPOINTS):
        named = "otlp"
    return [name for part in named.split(",") if (name := part.strip()) not in ("", "none")]


def configure_traces() -> None:
    """Once per process. Raises SettingsError, one line, if what is asked for is not installed."""
    global spans
    wanted = exporters(os.environ)
    if not wanted or spans is not None:
        return
    try:
        from app.telemetry.spans import Spans
    except ImportError:
        raise SettingsError(
            "the OTEL_… variables ask for traces; install the extra `otel`: pip install '.[otel]'"
        ) from None
    spans = Spans.exported_by(wanted)


def close_traces() -> None:
    """Before the process ends. Blocks for a moment at most."""
    if spans is not None:
        spans.close()
