"""Traces are off, and OpenTelemetry is not imported, unless its own variables turn them on."""

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
    """Read OTEL_TRACES_EXPORTER; without it, OTLP once an endpoint is named. Empty: off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not named and any(environ.get(name) for name in ENDPOINTS):
        named = "otlp"
    return [name for part in named.split(",") if (name := part.strip()) not in ("", "none")]


def configure_traces() -> None:
    """Turn traces on, once per process. Raises SettingsError for what is not installed."""
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
    """Send what is left before the process ends. Blocks for a moment at most."""
    if spans is not None:
        spans.close()
