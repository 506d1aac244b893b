"""Plans that PostgreSQL makes for the service's login, read from the server's notices."""

from __future__ import annotations

from typing import Any

WRITTEN_DOWN = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_analyze = on;
SET client_min_messages = log;
"""
EXPLAINED = f"{WRITTEN_DOWN}SET SESSION AUTHORIZATION bicameral_app;"
WASTE = ("Seq Scan", "Rows Removed", "Sort", "Bitmap")


async def explained(connection: Any) -> list[str]:
    """Collect the plans of whatever the connection runs from here on, as the service's login."""
    plans: list[str] = []

    def note(_: object, log: object) -> None:
        plans.append(str(log))

    connection.add_log_listener(note)
    await connection.execute(EXPLAINED)
    return plans


ONE_ROW = "Seq Scan on sealing "  # no index finds the only row of a table sooner


def waste(plans: list[str]) -> list[str]:
    """Find the lines of the plans, nested statements too, that tell of work for nothing."""
    lines = "\n".join(plans).splitlines()
    assert any("Index" in line for line in lines)
    others = (line for line in lines if ONE_ROW not in line)
    return [line for line in others if any(word in line for word in WASTE)]
