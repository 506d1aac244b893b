"""The administrator of `litestar dev`, whose first password is kept beside the data."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from app.accounts.operators import Operators

USERNAME = "\\platform\\admin"
EMAIL = "admin@platform.example"


async def ensure(operators: Operators, data_dir: Path) -> str | None:
    """Create the administrator, and return their password; None once they have one of their own."""
    path = data_dir / "administrator-password"
    if not path.exists():
        path.touch(mode=0o600)  # for this user's eyes only
        path.write_text(secrets.token_urlsafe(18))
    password = path.read_text().strip()
    if await operators.ensure_administrator(USERNAME, EMAIL, password):
        return password
    path.unlink()  # it says a password that is nobody's any more
    return None


def login(address: str, password: str | None) -> list[str]:
    """Write the lines that tell how to log in."""
    if password is None:
        lost = f"litestar users set-password '{USERNAME}'"
        return [f"Log in as {USERNAME} with the password you gave it (if it is lost: {lost})"]
    body = json.dumps({"username": USERNAME, "password": password})
    json_sent = "-H 'Content-Type: application/json'"
    return ["Log in:", f"curl -sS {address}/v1/auth/login {json_sent} -d '{body}'"]
