"""Which passwords are taken, and that a refusal says why (NIST SP 800-63B-4)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest
from zxcvbn.matching import (
    L33T_TABLE,
    RANKED_DICTIONARIES,
    enumerate_l33t_subs,
    relevant_l33t_subtable,
)

from app.accounts.passwords import Passwords, broken_rule
from app.accounts.strength import readable
from app.config.settings import Settings
from app.http.errors import Unavailable
from tests.support.factories import PASSWORD, World
from tests.support.logins import threads_of

SHORT, LONG = "Too short: at least 15 characters.", "Too long: at most 128 characters."
COMMON, NAMES, EASY = "Too common", "Too close to your own names", "Too easy to guess. "
NEW = "seven herons over the estuary"
PATIENCE_SECONDS = 5
QUEUE = {"password_hash_queue": 1}
OWN = ["acme", "alice", "example.org"]


@pytest.mark.parametrize(
    "password",
    [
        "a quiet corner of the library",
        "correct horse battery staple",
        "x7" + "abcwhelkjiggz",
        "ø" * 3 + "æåéüñ日本語中文한국어",
        "Ⅷ🌍" + "🌻🌼🌷🌱🌲🌳🌴🌵🌾🌿☘🍀🍁",
        "   spaces are characters too   ",
        "alice walks home in the evening",
        "tab\tand\nnewline\x01and more",
        "a4@8({[<369!1|70$5+7%2zxcvlo" * 3,
        "qwertz" * 10 + "0123456789" * 6 + "abcdefgh",
    ],
)
def test_a_password_may_have_any_character_and_needs_none(password: str) -> None:
    assert broken_rule(password, OWN) is None


async def test_as_many_are_hashed_at_a_time_and_wait_as_the_settings_say() -> None:
    passwords = Passwords(Settings.model_validate({"password_hash_threads": 3} | QUEUE))
    threads: ThreadPoolExecutor = vars(passwords)["_threads"]
    together = Barrier(4, timeout=PATIENCE_SECONDS)
    held = [threads.submit(together.wait) for _ in range(3)]
    await asyncio.to_thread(together.wait)
    await asyncio.gather(*map(asyncio.wrap_future, held))
    held = [threads.submit(together.wait) for _ in range(3)]
    waiting = [asyncio.create_task(passwords.hash("x")) for _ in range(3 + 1)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await passwords.hash("x")
    together.wait()
    await asyncio.gather(*waiting, *map(asyncio.wrap_future, held))
    passwords.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority")
async def test_hashing_leaves_the_event_loop_its_time() -> None:
    passwords = Passwords(Settings.model_validate({}))
    threads: ThreadPoolExecutor = vars(passwords)["_threads"]
    theirs = await asyncio.wrap_future(threads.submit(os.getpriority, os.PRIO_PROCESS, 0))
    assert theirs > os.getpriority(os.PRIO_PROCESS, 0)
    passwords.close()


@pytest.mark.parametrize("sign", ["a", "é", "日", "🌍"])
def test_a_passwords_length_is_counted_in_code_points(sign: str) -> None:
    letters = [chr(ord(sign) + n * 37 % 128) for n in range(128)]
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
        ("bicameral1234567", NAMES),
        ("Bicameral-bicameral", NAMES),
        ("bicameral with alice", NAMES),
        ("abcdefghijklmnopqrstuvwxyz", EASY + 'Sequences like "abc" or "6543" are easy to guess.'),
        ("x7abcdefghijklm", EASY + 'Sequences like "abc" or "6543" are easy to guess.'),
        ("aaaaaaaaaaaaaaab", EASY + 'Repeats like "aaa" are easy to guess.'),
        ("abcabcabcabcabcd", EASY + 'Repeats like "abcabcabc" are only slightly harder'),
        ("1qaz2wsx3edc4rfv5tgb", EASY + "This is similar to a commonly used password."),
        ("zxcvbnm,./asdfgh", EASY + "Straight rows of keys are easy to guess."),
        ("a" * 72 + "a quiet corner of the library", EASY),  # zxcvbn sees the first 72
        ("a quiet corner\0of the library", "Leave the character U+0000 out."),
    ],
)
def test_common_passwords_names_and_what_is_easy_to_guess_are_refused(
    password: str, rule: str
) -> None:
    assert (broken_rule(password, OWN) or "").startswith(rule)


def test_no_password_has_more_readings_than_there_is_time_for() -> None:
    """With every sign in it zxcvbn alone would take seconds, which anybody may ask for."""
    signs = "".join(sign for signs in L33T_TABLE.values() for sign in signs)
    for password in (signs, signs[::2], signs[1::2], "a4@8({[<369!1|70$5+7%2zxcvlo"):
        readings = enumerate_l33t_subs(relevant_l33t_subtable(readable(password), L33T_TABLE))
        assert len(readings) <= 16
    assert readable("p@ssw0rd of 1999") == "p@ssw0rd of 1999"


async def test_the_names_of_others_who_choose_at_the_same_time_do_not_count() -> None:
    """zxcvbn keeps what it is told of somebody in a dictionary of the whole process."""
    names: list[str] = ["estuary", "herons"]
    nobody: list[str] = []
    with ThreadPoolExecutor(8) as threads:
        strong = [threads.submit(broken_rule, NEW, nobody) for _ in range(20)]
        weak = [threads.submit(broken_rule, "herons over estuary", names) for _ in range(20)]
    assert [one.result() for one in strong] == [None] * 20
    assert all(one.result() for one in weak)
    assert "user_inputs" not in RANKED_DICTIONARIES


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
        ("1qaz2wsx3edc4rfv5tgb", "Too easy to guess. This is similar to a commonly used"),
        ("a quiet corner\0of the library", "Leave the character U+0000 out."),
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
    """Neither cut off at 72 bytes, nor at a control character, nor folded."""
    alice = await world.member()
    password = "é\x01" + "".join(chr(0x4E00 + n * 37 % 126) for n in range(126))
    body = {"current_password": PASSWORD, "new_password": password}
    assert (await alice.http.put("/v1/me/password", json=body)).status_code == 204
    assert await world.log_in(alice.username, password)
    for other in (password[:-1], "É" + password[1:], password.replace("\x01", ""), password + " "):
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


async def test_a_password_is_estimated_in_the_hashing_threads_in_one_job_with_its_hash(
    world: World,
) -> None:
    boss = await world.tenant_admin()
    threads = threads_of(world)
    new = {"username": "carol", "email": "carol@example.org", "password": "aaaaaaaaaaaaaaab"}
    assert (await boss.http.post("/v1/users", json=new)).status_code == 422
    assert threads.given == 1
    assert (await boss.http.post("/v1/users", json=new | {"password": PASSWORD})).is_success
    assert threads.given == 2


async def test_whose_password_an_administrator_set_is_asked_for_another(world: World) -> None:
    alice = await world.member()
    assert await _is_asked(world, alice.username, PASSWORD) == [True, True, True]
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await alice.http.put("/v1/me/password", json=body)).status_code == 204
    assert await _is_asked(world, alice.username, body["new_password"]) == [False, False, False]
    await world.operators.set_password(alice.username, PASSWORD)
    assert await _is_asked(world, alice.username, PASSWORD) == [True, True, True]


async def _is_asked(world: World, username: str, password: str) -> list[bool]:
    """Ask at login, in one's account and in the export."""
    login = {"username": username, "password": password}
    answer = (await world.nobody.post("/v1/auth/login", json=login)).json()
    http = world.with_token(answer["access_token"])
    account = (await http.get("/v1/me")).json()
    exported = json.loads((await http.get("/v1/me/export")).text.splitlines()[0])
    return [one["must_change_password"] for one in (answer, account, exported)]
