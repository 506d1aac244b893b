"""Dashboard and alerts name what the service really serves, and each alert rings when it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from app.bridge.erasure.relay import Relay
from app.bridge.heartbeats import beat, tell
from tests.support.factories import World
from tests.support.metrics import Sample, exercise, scrape

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".monitoring"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    not PROMTOOL, reason="UNTESTED: alerts and dashboard. Put Prometheus's promtool into PATH"
)
SELECTOR = re.compile(r"\b(bicameral_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPING = re.compile(r"\bby \(([\w, ]+)\)")
BY_PROMETHEUS = {"instance", "job"}

# What makes each of them ring, minute by minute, and what does not.
RINGS = {
    "BicameralDown": {'up{job="bicameral"}': "1 1 0x60"},
    "BicameralUnavailable": {
        'bicameral_request_duration_seconds_count{route="/v1/me",status="503"}': "0+2x60",
        'bicameral_request_duration_seconds_count{route="/v1/me",status="200"}': "0+98x60",
    },
    "BicameralFailing": {
        'bicameral_request_duration_seconds_count{route="/v1/me",status="500"}': "0+1x60"
    },
    "BicameralSlow": {
        'bicameral_request_duration_seconds_bucket{route="/v1/me",le="0.5"}': "0+90x60",
        'bicameral_request_duration_seconds_bucket{route="/v1/me",le="1"}': "0+100x60",
        'bicameral_request_duration_seconds_bucket{route="/v1/me",le="+Inf"}': "0+100x60",
    },
    "BicameralStatementsSlow": {
        'bicameral_statement_duration_seconds_bucket{database="user",le="0.25"}': "0+90x60",
        'bicameral_statement_duration_seconds_bucket{database="user",le="1"}': "0+100x60",
        'bicameral_statement_duration_seconds_bucket{database="user",le="+Inf"}': "0+100x60",
    },
    "BicameralPoolExhausted": {
        'bicameral_pool_waiting{pool="service",database="user",instance="a"}': "3x60"
    },
    "BicameralEventLoopLate": {'bicameral_event_loop_lag_seconds{instance="a"}': "0.5x60"},
    "BicameralPasswordGuessing": {
        'bicameral_login_refusals_total{reason="credentials"}': "0+120x60"
    },
    "BicameralErasureLate": {
        'bicameral_erasure_oldest_pending_seconds{instance="a"}': "0+60x60",
        'bicameral_erasure_oldest_pending_seconds{instance="b"}': "0+60x60",
    },
    "BicameralErasureFailing": {"bicameral_erasure_attempts_max": "11x60"},
    "BicameralErasureBacklogGrows": {"bicameral_erasure_pending": "0+5x180"},
    "BicameralErasuresUnknown": {'bicameral_erasure_pending{instance="a"}': "NaN " * 60},
    "BicameralDatabasesDiffer": {
        'bicameral_reconcile_differences{instance="service"}': "0x60",
        'bicameral_reconcile_differences{instance="relay"}': "2x60",
    },
    "BicameralDatabaseRestored": {
        'bicameral_database_restored{database="user",instance="a"}': "0x30 1x30",
        'bicameral_database_restored{database="general",instance="a"}': "0x60",
    },
    "BicameralHoldLate": {'bicameral_hold_oldest_pending_seconds{instance="a"}': "0+60x60"},
    "BicameralRetentionFailing": {'bicameral_retention_failures_total{instance="a"}': "0 0 3x60"},
}
CALM = {
    'up{job="bicameral"}': "1x180",
    'bicameral_request_duration_seconds_count{route="/v1/me",status="503"}': "0+1x180",
    'bicameral_request_duration_seconds_count{route="/v1/me",status="200"}': "0+999x180",
    'bicameral_request_duration_seconds_count{route="/v1/me",status="500"}': "1x180",
    'bicameral_request_duration_seconds_bucket{route="/v1/me",le="0.5"}': "0+995x180",
    'bicameral_request_duration_seconds_bucket{route="/v1/me",le="+Inf"}': "0+1000x180",
    'bicameral_request_duration_seconds_bucket{route="/v1/me/export",le="+Inf"}': "0+1000x180",
    'bicameral_statement_duration_seconds_bucket{database="user",le="0.25"}': "0+995x180",
    'bicameral_statement_duration_seconds_bucket{database="user",le="+Inf"}': "0+1000x180",
    'bicameral_pool_waiting{pool="service",database="user",instance="a"}': "0 3 0x180",
    'bicameral_event_loop_lag_seconds{instance="a"}': "0.5 0x180",
    'bicameral_login_refusals_total{reason="credentials"}': "0+10x180",
    'bicameral_erasure_oldest_pending_seconds{instance="a"}': "0x180",
    'bicameral_erasure_attempts_max{instance="a"}': "0x180",
    'bicameral_erasure_pending{instance="a"}': "200x180",
    'bicameral_reconcile_differences{instance="a"}': "0x180",
    'bicameral_database_restored{database="user",instance="a"}': "0x180",
    'bicameral_hold_oldest_pending_seconds{instance="a"}': "0 20 0x180",
    'bicameral_retention_failures_total{instance="a"}': "5x90 6x90",
}


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return cast("list[dict[str, Any]]", group["rules"])


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    board = json.loads((FOLDER / "dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        yield variable["name"], variable.get("definition", "")


async def test_every_metric_of_dashboard_and_alerts_is_served(world: World) -> None:
    await exercise(world)
    assert await Relay(world.databases, world.app.state.settings).run_once()
    tell(await beat(world.databases, timedelta()), [])
    samples = await scrape(world.nobody)
    used = dict(expressions())
    assert len(used) > 30
    faults = {title: sorted(_unknown(text, samples)) for title, text in used.items()}
    assert {title: names for title, names in faults.items() if names} == {}
    assert list(_unknown("rate(bicameral_nothing[5m])", samples)) == ["bicameral_nothing"]
    assert list(_unknown('bicameral_pool_waiting{pol="x"}', samples)) == ["pol"]


def _unknown(expression: str, samples: list[Sample]) -> Iterator[str]:
    """Labels that are grouped by may be any named metric's."""
    served = {one.name: set(one.labels) for one in samples}
    known = set(BY_PROMETHEUS)
    for name, labels in SELECTOR.findall(expression):
        if name not in served:
            yield name
        here = served.get(name, set()) | BY_PROMETHEUS
        known |= here
        yield from set(LABEL.findall(labels)) - here
    for names in GROUPING.findall(expression):
        yield from set(names.split(", ")) - known


def test_each_alert_and_its_runbook_are_listed() -> None:
    found = re.split(r"(?m)^<!-- (?:alerts:|end of alerts).*\n", (FOLDER / "README.md").read_text())
    table = "\n".join(_table()) + "\n"
    assert found[1] == table, f".monitoring/README.md should say:\n\n{table}"


def _table() -> Iterator[str]:
    yield "| alert | what to do |"
    yield "|---|---|"
    for rule in rules():
        yield f"| `{rule['alert']}` | {rule['annotations']['runbook']} |"


def test_every_alert_has_a_case_that_makes_it_ring() -> None:
    assert RINGS.keys() == {rule["alert"] for rule in rules()}
    assert {rule["labels"]["severity"] for rule in rules()} == {"page", "ticket"}


@needs_promtool
def test_the_dashboard_s_expressions_parse(tmp_path: Path) -> None:
    """They are checked as rules, with what Grafana would put in."""
    parts = [
        text for _, text in expressions() if "bicameral_" in text and "label_values" not in text
    ]
    filled = [part.replace("$__rate_interval", "1m").replace("$instance", ".*") for part in parts]
    records = [{"record": f"a:b{number}", "expr": text} for number, text in enumerate(filled)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))
    assert f"SUCCESS: {len(records)} rules found" in _promtool("check", "rules", str(path))


@needs_promtool
def test_each_alert_rings_alone_and_none_when_all_is_well(tmp_path: Path) -> None:
    calm = _case("", CALM, [])
    cases = [_case(name, series, [name]) for name, series in RINGS.items()]
    assert "SUCCESS" in _promtool("check", "config", str(FOLDER / "prometheus.yml"))
    path = tmp_path / "tests.yml"
    tests = {"rule_files": [str(FOLDER / "alerts.yml")], "evaluation_interval": "1m"}
    path.write_text(yaml.safe_dump(tests | {"tests": [calm, *cases]}))
    assert "SUCCESS" in _promtool("test", "rules", str(path))


def _case(name: str, series: dict[str, str], rings: list[str]) -> dict[str, Any]:
    minutes = 180 if name in ("", "BicameralErasureBacklogGrows") else 59
    expected = [{"labels": f'{{alertname="{one}"}}', "value": 1} for one in rings]
    query = 'sum by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {"expr": query, "eval_time": f"{minutes}m", "exp_samples": expected},
        ],
    }


def _promtool(*arguments: str) -> str:
    done = subprocess.run([str(PROMTOOL), *arguments], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr
