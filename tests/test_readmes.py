"""The READMEs lead where they say, and their tables are what the code and the databases have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.config.settings import Settings
from tests.support.servers import ROOT, Servers

FRONT = ROOT / "README.md"
FOLDERS = ("app", "migrations", "tests", ".deployment", ".monitoring")
PAGES = [
    FRONT,
    *sorted(
        page
        for folder in FOLDERS
        for page in (ROOT / folder).rglob("README.md")
        if "node_modules" not in page.parts  # others' pages, which .ci/run installs
    ),
]
LONGEST_FRONT = 250
FENCED = re.compile(r"(?ms)^```.*?^```$")
LINK = re.compile(r"""(?:\]\(|\bsrc(?:set)?=")([^)\s"]+)""")  # a picture's two are HTML
DEFINERS = """
SELECT proname FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prosecdef ORDER BY proname
"""


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text())


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for link in LINK.findall(prose(page)):
            if "://" not in link:
                yield page, link


def anchors(page: Path) -> set[str]:
    """Give each heading's anchor, as GitHub makes it."""
    titles = re.findall(r"(?m)^#+ (.+)$", prose(page))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def leads_nowhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(target)


def test_every_link_leads_somewhere() -> None:
    found = list(links())
    assert len(found) > 50
    assert [
        f"{page.relative_to(ROOT)}: {link}" for page, link in found if leads_nowhere(page, link)
    ] == []


@pytest.mark.parametrize("link", ["app/nothing.py", "app/README.md#nothing", "#nothing"])
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert leads_nowhere(FRONT, link)


def test_the_front_page_leads_to_every_other() -> None:
    linked = {(page.parent / link).resolve() for page, link in links() if page == FRONT}
    assert set(PAGES) - linked == {FRONT}


def test_the_front_page_is_short() -> None:
    assert len(FRONT.read_text().splitlines()) <= LONGEST_FRONT


def test_the_settings_are_listed() -> None:
    found = re.split(
        r"(?m)^<!-- (?:settings:|end of settings).*\n", (ROOT / "app" / "README.md").read_text()
    )[1]
    expected = "\n".join(settings_table()) + "\n"
    assert found == expected, f"app/README.md should say:\n\n{expected}"


def settings_table() -> Iterator[str]:
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for field, info in Settings.model_fields.items():
        yield f"| `{field.upper()}` | {shown(info.default)} | {info.description} |"


def shown(default: object) -> str:
    match default:
        case None | "":
            return ""
        case bool():
            return f"`{str(default).lower()}`"
        case _:
            return f"`{default}`"


async def test_what_looks_across_tenants_is_listed(servers: Servers, database: str) -> None:
    found: list[str] = []
    for server in servers:
        connection = await asyncpg.connect(server.url(database))
        found += [row["proname"] for row in await connection.fetch(DEFINERS)]
        await connection.close()
    page = (ROOT / "app" / "databases" / "sql" / "README.md").read_text()
    section = page.split("## What looks across tenants")[1].split("\n#")[0]
    assert sorted(found) == sorted(re.findall(r"(?m)^\| `(\w+)` \|", section))
