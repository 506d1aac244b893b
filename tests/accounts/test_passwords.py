"""Which passwords are taken, and that a refusal says why (NIST SP 800-63B-4)."""

from __future__ import annotations

import unicodedata
from typing import Any

import httpx
import pytest

from app.accounts.passwords import broken_rule
from tests.support.factories import PASSWORD, World

SHORT, LONG = "Too short: at least 15 characters.", "Too long: at most 128 characters."
COMMON, NAMES = "Too common", "Too close to your own names"
OWN = ["acme", "alice", "example.org"]


@pytest.mark.parametrize(
    "password",
    [
        "a quiet corner of the library",
        "correct horse battery staple",
        "x7" + "abcdefghijklm",
        "ø" * 3 + "æåéüñ日本語中文한국어",
        "Ⅷ🌍" + "🌻🌼🌷🌱🌲🌳🌴🌵🌾🌿☘🍀🍁",
        "   spaces are characters too   ",
        "alice walks home in the evening",
        "tab\tand\nnewline\x00and nul",
        "qwertz" * 10 + "0123456789" * 6 + "abcdefgh",
    ],
)
def test_a_password_may_have_any_character_and_needs_none(password: str) -> None:
    assert broken_rule(password, OWN) is None


@pytest.mark.parametrize("sign", ["a", "é", "日", "🌍"])
def test_a_passwords_length_is_counted_in_code_points(sign: str) -> None:
    letters = [chr(ord(sign) + n) for n in range(128)]
    assert broken_rule("".join(letters[:14]), []) == SHORT
    assert broken_rule("".join(letters[:15]), []) is None
    assert broken_rule("".join(letters), []) is None
    assert broken_rule("".join([*letters, sign]), []) == LONG


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("", SHORT),
        ("passwordpassword", COMMON),
        ("PasswordPassword", COMMON),
        ("password1234567890", COMMON),
        ("!!!iloveyou!!!!!!!", COMMON),
        ("    football       ", COMMON),
        ("dragondragondragondra", COMMON),
        ("aaaaaaaaaaaaaaaa", COMMON),
        ("abababababababab", COMMON),
        ("1234567890123456", COMMON),
        ("aliceacme1234567", NAMES),
        ("Alice.ACME.alice", NAMES),
        ("alice-example.org", NAMES),
        ("alicealicealiceX", NAMES),
    ],
)
def test_common_passwords_and_own_names_are_refused(password: str, rule: str) -> None:
    assert (broken_rule(password, OWN) or "").startswith(rule)


def _names(answer: httpx.Response, path: str, rule: str) -> bool:
    error: dict[str, Any] = answer.json()["errors"][0]
    return answer.status_code == 422 and error["path"] == path and rule in error["message"]


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("too short", "15"),
        ("x" * 129, "128"),
        ("passwordpassword", "Too common"),
        ("alice-alice-acme", "Too close to your own names"),
    ],
)
async def test_a_refused_password_is_told_which_rule(
    world: World, password: str, rule: str
) -> None:
    boss, alice = await world.tenant_admin(), await world.someone("\\acme\\alice")
    new = {"username": "alice", "email": "a@example.com", "password": password}
    assert _names(await boss.http.post("/v1/users", json=new), "password", rule)
    change = {"current_password": PASSWORD, "new_password": password}
    answer = await alice.http.put("/v1/me/password", json=change)
    assert _names(answer, "new_password", rule)
    assert (await alice.http.get("/v1/me")).status_code == 200
    await world.log_in(alice.username)


async def test_a_new_password_needs_the_current_one(world: World) -> None:
    alice = await world.member()
    body = {"current_password": "not the one it is", "new_password": "x" + PASSWORD}
    answer = await alice.http.put("/v1/me/password", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (403, "The current password is wrong.")
    assert (await alice.http.put("/v1/me/password", json={})).status_code == 422
    await world.log_in(alice.username)


async def test_the_whole_password_counts(world: World) -> None:
    """Neither cut off at 72 bytes, nor at a NUL, nor folded."""
    alice = await world.member()
    password = "é\x00" + "".join(chr(0x4E00 + n) for n in range(126))
    body = {"current_password": PASSWORD, "new_password": password}
    assert (await alice.http.put("/v1/me/password", json=body)).status_code == 204
    assert await world.log_in(alice.username, password)
    for other in (password[:-1], "É" + password[1:], password.replace("\x00", ""), password + " "):
        login = {"username": alice.username, "password": other}
        assert (await world.nobody.post("/v1/auth/login", json=login)).status_code == 401


async def test_a_password_is_the_same_however_a_keyboard_composes_it(world: World) -> None:
    """NFC, as RFC 8265 has it for passwords; `²` and `2` remain two things."""
    alice = await world.member()
    composed = "Ærlig talt, så rått: crème brûlée²"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    body = {"current_password": PASSWORD, "new_password": decomposed}
    assert (await alice.http.put("/v1/me/password", json=body)).status_code == 204
    assert await world.log_in(alice.username, composed)
    assert await world.log_in(alice.username, decomposed)
    login = {"username": alice.username, "password": composed.replace("²", "2")}
    assert (await world.nobody.post("/v1/auth/login", json=login)).status_code == 401
    short = {"current_password": composed, "new_password": "e\u0301" * 14}
    answer = await alice.http.put("/v1/me/password", json=short)
    assert _names(answer, "new_password", "Too short")
