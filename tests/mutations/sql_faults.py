"""Makes the faults of tired authors in the functions of a database."""

from __future__ import annotations

import re
from collections.abc import Iterator

Change = tuple[int, int, str, str]  # from where to where, what stands there instead, and the kind
STATEMENT = r"(?m)^ {4,}(?:PERFORM|DELETE|UPDATE|INSERT|EXECUTE)\b[^;$]+;"
KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "comparison": (
        (r" <= ", " < "),
        (r" < ", " <= "),
        (r" >= ", " > "),
        (r" > ", " >= "),
        (r" <> ", " = "),
    ),
    "condition": (
        (r"(?m)^\s+AND [^\n(]+$", ""),
        (r"\bWHERE [^\n()]+? AND ", "WHERE "),
        (r" AND [a-z_.]+ (?:=|<=?|>=?) [a-z_.]+(?=[ ;)\n])", ""),
        (r" AND NOT ", " AND "),
        (r"\bNOT EXISTS\b", "EXISTS"),
        (r"\bIS NULL\b", "IS NOT NULL"),
        (r"\bIS NOT NULL\b", "IS NULL"),
        (r"\bIS DISTINCT FROM\b", "="),
        (r" OR ", " AND "),
    ),
    "lock": (
        (r" FOR (NO KEY UPDATE|KEY SHARE|UPDATE|SHARE)\b(?: OF \w+)?(?: SKIP LOCKED)?", ""),
        (r" SKIP LOCKED\b", ""),
        (r"(?m)^\s+PERFORM pg_advisory_xact_lock[^;]+;", ""),
    ),
    "bound": ((r" \+ 1\b", ""), (r" - 1\b", ""), (r"(\bLIMIT [a-z_]+)\b", r"\1 - 1")),
    "order": ((r" DESC\b", ""), (r"(ORDER BY [a-z_.]+)(?=[ ,;)\n])(?! DESC)", r"\1 DESC")),
    "guard": (
        (r"\bIF NOT FOUND\b", "IF FOUND"),
        (r"(?m)^\s+RAISE EXCEPTION[^;]+;", " NULL;"),
        (r"\bON CONFLICT DO NOTHING\b", ""),
    ),
    "statement": ((STATEMENT, "    NULL;"),),
    "time": (
        (r"\bnow\(\) - ", "now() + "),
        (r"\bnow\(\) \+ ", "now() - "),
        (r"interval '1 (minute|hour|day)'", r"interval '2 \1s'"),
        (r"\bclock_timestamp\(\)", "now()"),
    ),
    "swapped": (
        (r"\bleast\(", "greatest("),
        (r"\bgreatest\(", "least("),
        (r"\bmin\(", "max("),
        (r"\bmax\(", "min("),
        (r"\bcoalesce\(([a-z_.]+), ([a-z_.]+)\)", r"coalesce(\2, \1)"),
        (r"\bTHEN (\S+) ELSE (\S+) END\b", r"THEN \2 ELSE \1 END"),
    ),
    "value": (
        (r"\bstate = '(open|closed|erased)'", "state IS NOT NULL"),
        (r"(?<=, )true\b", "false"),
        (r"(?<=, )false\b", "true"),
        (r"(?<== )true\b", "false"),
        (r"(?<== )false\b", "true"),
        (r"(?<=\w = )excluded\.(\w+)", r"\1"),
    ),
}


def of_sql(text: str) -> Iterator[Change]:
    body = text.index("AS $$")
    for kind, replacements in KINDS.items():
        for pattern, new in replacements:
            for match in re.finditer(pattern, text):
                if match.start() > body:
                    yield *match.span(), match.expand(new), kind
