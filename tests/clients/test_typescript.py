"""Generated TypeScript clients, checked by the compiler and used against the running service."""

from __future__ import annotations

import json
import shutil

from tests.support.generators import MODULES, TOURS, needs_node, node
from tests.support.tours import Tour

pytestmark = needs_node
BUNDLE = ("--bundle", "--platform=node", "--format=esm", "--outfile=tour.mjs")


async def test_openapi_typescript_with_openapi_fetch(tour: Tour) -> None:
    await node("openapi-typescript", "openapi.json", "-o", "schema.ts", folder=tour.folder)
    assert await take(tour, "openapi_fetch.ts") == tour.seen


async def test_orval_with_zod(tour: Tour) -> None:
    config = shutil.copy(TOURS / "orval.config.mjs", tour.folder)
    await node("orval", "--config", config, folder=tour.folder)
    accepted = {"accepted": [True, True, False, False]}
    assert await take(tour, "orval.ts") == tour.seen | accepted


async def take(tour: Tour, script: str) -> object:
    """Check the types; then run it as one file, since generators write imports for bundlers."""
    for name in (script, "globals.d.ts", "tsconfig.json"):
        shutil.copy(TOURS / name, tour.folder)
    (tour.folder / "node_modules").symlink_to(MODULES)
    await node("tsc", "--project", ".", folder=tour.folder)
    await node("esbuild", script, *BUNDLE, folder=tour.folder)
    program = str(tour.folder / "tour.mjs")
    return json.loads((await node(program, folder=tour.folder, **tour.variables)).out)
