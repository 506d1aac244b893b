"""Tours that clients are asked to make, and what a generated one should have seen in the end."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.factories import PASSWORD
from tests.support.generators import MODULES, TOURS, node, python

CONTENTS = ["Where is it warm?", 'In "Ålesund"?\n', "日本語 👋", "\\", "5", "6", "7"]


@dataclass
class Tour:
    """Log in, write a conversation, read all its pages, meet errors, take the export, log out."""

    folder: Path
    address: str
    username: str

    @property
    def variables(self) -> dict[str, str]:
        told = {"BASE": self.address, "NAME": self.username, "PASSWORD": PASSWORD}
        return told | {"CONTENTS": json.dumps(CONTENTS)}

    @property
    def seen(self) -> dict[str, Any]:
        return {
            "wrong": [401, "Unauthorized"],
            "me": self.username,
            "once": True,
            "reused": [422, "Idempotency-Key"],
            "pages": 3,
            "read": CONTENTS,
            "missing": [404, "Not Found"],
            "kinds": [
                *("user", *["audit_event"] * 3, "chat_session"),
                *(*["message"] * len(CONTENTS), "login_address"),
            ],
            "said": CONTENTS,
            "left": 204,
        }


async def python_tour(script: str, folder: Path, variables: dict[str, str]) -> Any:
    """Run a script of the folder `tours`, and read what it has seen."""
    copy = Path(shutil.copy(TOURS / script, folder))
    return json.loads((await python(copy, folder=folder, **variables)).out)


async def node_tour(script: str, folder: Path, variables: dict[str, str]) -> Any:
    """Run one that Node.js reads as it is."""
    (folder / "node_modules").symlink_to(MODULES)
    copy = shutil.copy(TOURS / script, folder)
    return json.loads((await node(str(copy), folder=folder, **variables)).out)
