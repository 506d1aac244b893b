"""The tour that a generated client is asked to make, and what it should have seen in the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.factories import PASSWORD

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
