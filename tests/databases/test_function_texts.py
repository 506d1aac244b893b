"""All functions of the databases ask in the same words for the tenant of the session."""

from __future__ import annotations

import re

from tests.support.servers import ROOT

ASKS = re.compile(r"current_setting\(([^)]*app\.[^)]*)\)")
FILES = sorted((ROOT / "app" / "databases" / "sql").glob("*/*.sql"))


def test_no_function_fails_in_a_session_that_never_had_a_tenant() -> None:
    found = {words for path in FILES for words in ASKS.findall(path.read_text())}
    assert found == {"'app.tenant_id', true"}
