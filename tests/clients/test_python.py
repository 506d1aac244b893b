"""Generated Python clients, used against the running service."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from tests.support.generators import TOURS, needs, needs_java, python, run
from tests.support.tours import Tour


@needs("openapi_python_client")
async def test_openapi_python_client(tour: Tour) -> None:
    words = ["generate", "--path", "openapi.json", "--meta", "none", "--output-path", "generated"]
    config = TOURS / "openapi_python_client.yaml"
    said = await python(
        "-m", "openapi_python_client", *words, "--config", config, folder=tour.folder
    )
    # All it leaves out is what it cannot know: how NDJSON is read.
    assert said.err.count("WARNING") == 2, said.err
    assert said.err.count("Unsupported content_type application/x-ndjson") == 2, said.err
    assert await take(tour, "openapi_python_client.py") == tour.seen


@needs("openapi_generator_cli")
@needs_java
async def test_openapi_generator(tour: Tour) -> None:
    words = ["generate", "-i", "openapi.json", "-g", "python", "-o", ".", "--package-name"]
    command = Path(sys.executable).with_name("openapi-generator-cli")
    await run(command, *words, "generated", folder=tour.folder)
    accepted = {"accepted": [True, True, False, False]}
    assert await take(tour, "openapi_generator.py") == tour.seen | accepted


async def take(tour: Tour, script: str) -> object:
    copy = Path(shutil.copy(TOURS / script, tour.folder))
    return json.loads((await python(copy, folder=tour.folder, **tour.variables)).out)
