"""Two users who differ by case, form or invisible characters alone are one user, or are refused."""
# ruff: noqa: RUF001  # letters that look alike are what this is about

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import asyncpg
import httpx
import idna
import pytest

from app.accounts.digests import folded
from app.accounts.domains import undisguised
from app.accounts.schemas import SPACE_OR_INVISIBLE
from tests.support.factories import PASSWORD, Someone, World
from tests.support.logins import superuser, try_login, world_on
from tests.support.servers import Servers, settings_for

Sql = asyncpg.Connection
PLANES = (
    range(1, 0xD800),
    range(0xE000, 0x11000),
    range(0x1B000, 0x1E000),
    range(0xE0000, 0xE1200),
)
SIGNS = [chr(code) for plane in PLANES for code in plane]


@pytest.fixture
async def sql(servers: Servers, database: str) -> AsyncGenerator[Sql]:
    async with superuser(servers.user.url(database)) as connection:
        yield connection


async def _create(by: Someone, username: str, email: str, **more: Any) -> httpx.Response:
    new = {"username": username, "email": email, "password": PASSWORD, **more}
    return await by.http.post("/v1/users", json=new)


async def test_the_longest_username_is_of_the_longest_tenant(world: World) -> None:
    root = await world.admin()
    tenant = (await root.http.post("/v1/tenants", json={"name": "t" * 63})).json()
    new = {"email": "a@example.org", "password": PASSWORD, "tenant_id": tenant["id"]}
    in_full = f"\\{'t' * 63}\\{'u' * 64}"
    made = await root.http.post("/v1/users", json=new | {"username": in_full})
    assert (made.status_code, made.json()["username"]) == (201, in_full)
    longer = await root.http.post("/v1/users", json=new | {"username": f"{in_full}u"})
    words = "Send at most 129 characters."
    assert longer.json()["errors"] == [{"path": "username", "message": words}]


async def test_a_username_in_another_case_is_taken(world: World) -> None:
    boss = await world.tenant_admin()
    assert (await _create(boss, "McAdam", "a@example.org")).status_code == 201
    for same in ("mcadam", "MCADAM", "\\acme\\McaDam"):
        answer = await _create(boss, same, "b@example.org")
        assert (answer.status_code, answer.json()["detail"]) == (
            409,
            "This username is taken; choose another.",
        )


async def test_somebody_logs_in_by_their_name_in_any_case(world: World) -> None:
    await world.user("\\acme\\McAdam")
    for name in ("\\acme\\McAdam", "\\acme\\mcadam", "\\ACME\\MCADAM"):
        me = world.with_token(await world.log_in(name))
        assert (await me.get("/v1/me")).json()["username"] == "\\acme\\McAdam"
    assert (await try_login(world, "\\acme\\Mc Adam")).status_code == 401


async def test_operators_find_a_user_by_their_name_in_any_case(world: World) -> None:
    await world.user("\\acme\\McAdam")
    await world.operators.block("\\Acme\\MCADAM", None)
    assert (await try_login(world, "\\acme\\McAdam")).status_code == 401


async def test_guesses_at_every_spelling_of_a_name_count_together(
    servers: Servers, database: str
) -> None:
    limits: dict[str, Any] = {"login_free_attempts": 3}
    async with world_on(settings_for(servers, database, **limits)) as world:
        names = ("\\acme\\eve", "\\acme\\EVE", "\\Acme\\Eve", "\\acme\\eVe", "\\ACME\\evE")
        answers = [await try_login(world, name, "not it, of course") for name in names]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 429]


ONE_ADDRESS = [
    ("Alice@Example.org", "alice@EXAMPLE.ORG"),
    ("josé@example.org", "jose\u0301@example.org"),
    ("ΣΊΣΥΦΟΣ@example.gr", "σίσυφος@example.gr"),
    ("ЖУКОВ@example.org", "жуков@example.org"),
    ("a@bücher.example", "a@xn--bcher-kva.example"),
    ("a@bu\u0308cher.example", "A@XN--BCHER-KVA.EXAMPLE"),
    ("a@BÜCHER.example", "a@bücher.example."),
    ("a@例え.jp", "a@xn--r8jz45g.jp"),
    ("a@例え。jp", "a@例え．ｊｐ"),
    ("a@президент.рф", "a@xn--d1abbgf6aiiy.xn--p1ai"),
    ("a@faß.example", "a@xn--fa-hia.example"),
    ("ａ@ｅｘａｍｐｌｅ.org", "ａ@example.org"),
    ("a@i❤.ws", "a@xn--i-7iq.ws"),
]


@pytest.mark.parametrize(("first", "second"), ONE_ADDRESS)
async def test_an_address_in_another_form_is_in_use(world: World, first: str, second: str) -> None:
    boss = await world.tenant_admin()
    created = await _create(boss, "first", first)
    assert (created.status_code, created.json()["email"]) == (201, first)
    again = await _create(boss, "second", second)
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "This e-mail address is in use; choose another.",
    )
    changed = await boss.http.patch(f"/v1/users/{boss.id}", json={"email": second})
    assert changed.status_code == 409


INVISIBLE = ["\u200b", "\u00ad", "\u2060", "\ufeff", "\u200d", "\ufe0f", "\u3164", "\U000e0041"]


@pytest.mark.parametrize("sign", INVISIBLE)
@pytest.mark.parametrize("address", ["al{}ice@example.org", "alice@exam{}ple.org"])
async def test_an_address_with_invisible_characters_is_refused(
    world: World, address: str, sign: str
) -> None:
    boss = await world.tenant_admin()
    answer = await _create(boss, "alice", address.format(sign))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "path": "email",
            "message": "Send an e-mail address: one @, and neither spaces nor characters that"
            " cannot be seen.",
        }
    ]


DISGUISED = {
    "an invisible character": "exam\u200bple",
    "a capital": "BÜCHER",
    "another composition": "bu\u0308cher",
    "another width": "ｂücher",
    "no letter but ASCII's": "example",
}


@pytest.mark.parametrize("label", DISGUISED.values(), ids=DISGUISED)
async def test_a_domain_whose_punycode_hides_something_is_refused(world: World, label: str) -> None:
    boss = await world.tenant_admin()
    for prefix in ("xn--", "XN--", "ｘｎ--"):
        email = f"alice@{prefix}{label.encode('punycode').decode()}.org"
        for answer in (
            await _create(boss, "alice", email),
            await boss.http.patch(f"/v1/users/{boss.id}", json={"email": email}),
        ):
            assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "email")


def test_any_domain_that_idna_takes_is_taken() -> None:
    for sign in SIGNS[:0x3000]:
        with suppress(idna.IDNAError, UnicodeError):
            email = "a@" + idna.encode(f"a{sign}b", uts46=True).decode() + ".org"
            if unicodedata.category(sign) != "Cn":
                assert undisguised(email) == email


async def test_addresses_of_people_who_differ_stay_apart(world: World) -> None:
    boss = await world.tenant_admin()
    different = ("a@fass.example", "a@faß.example", "ı@x.org", "i@x.org", "o@x.org", "ö@x.org")
    answers = [await _create(boss, f"u{n}", one) for n, one in enumerate(different)]
    assert [answer.status_code for answer in answers] == [201] * len(different)


async def test_an_address_is_unique_in_a_tenant_and_tells_nothing_of_others(world: World) -> None:
    acme, globex = await world.tenant_admin("acme"), await world.tenant_admin("globex")
    assert (await _create(acme, "alice", "alice@example.org")).status_code == 201
    assert (await _create(globex, "alice", "ALICE@example.org")).status_code == 201
    bob = (await _create(globex, "bob", "bob@example.org")).json()
    url = f"/v1/users/{bob['id']}"
    assert (await globex.http.patch(url, json={"email": "alice@example.org"})).status_code == 409
    other = (await _create(acme, "carol", "carol@example.org")).json()
    assert (await acme.http.get(f"/v1/users/{other['id']}")).json()["email"] == "carol@example.org"
    assert (await globex.http.patch(url, json={"email": "carol@example.org"})).status_code == 200


async def test_whoever_writes_the_row_the_keys_are_those_of_what_was_typed(
    world: World, sql: Sql
) -> None:
    """A version that knows no keys leaves them as they are; nobody dodges them by others."""
    alice = await world.user("\\acme\\Alice")
    await sql.execute("UPDATE users SET email = 'Al\u200bice@Bücher.example.'")
    assert await _keys(sql) == ("\\acme\\alice", "alice@xn--bcher-kva.example")
    await sql.execute("UPDATE users SET username_key = 'x', email_key = NULL")
    assert await _keys(sql) == ("\\acme\\alice", "alice@xn--bcher-kva.example")
    with pytest.raises(asyncpg.UniqueViolationError):
        await sql.execute(
            "INSERT INTO users (id, tenant_id, username, email, password_hash, username_key)"
            " VALUES (gen_random_uuid(), $1, '\\acme\\ALICE', 'other', 'x', 'another')",
            alice.tenant_id,
        )


async def _keys(sql: Sql) -> tuple[Any, ...]:
    (row,) = await sql.fetch("SELECT username_key, email_key FROM users")
    return tuple(row)


async def test_the_throttles_folding_tells_no_two_names_apart_that_the_key_makes_one(
    sql: Sql,
) -> None:
    """Else an account had as many counters as its name has spellings."""
    changed = [s for s in SIGNS if s.casefold() != s or unicodedata.normalize("NFD", s) != s]
    names = [*changed, "Ǆ", "I\u0307", "ᾼ\u0301", "J\u030c"]
    rows = await sql.fetch("SELECT s, username_key(s) FROM unnest($1::text[]) AS s", names)
    assert [s for s, key in rows if folded(key) != folded(s)] == []
    unfolded = [s for s, key in rows if key == s and s.casefold() != s]
    assert unfolded == [] or unicodedata.unidata_version > "14"  # the key's: Unicode 14


async def test_a_domains_key_is_its_form_in_idna(sql: Sql) -> None:
    labels: dict[str, str] = {}
    for sign in SIGNS[:0x3000]:
        if unicodedata.category(sign) == "Cn" or re.match(f"[{SPACE_OR_INVISIBLE}]", sign):
            continue
        with suppress(idna.IDNAError, UnicodeError):  # in no domain
            labels[f"a{sign}b"] = idna.encode(f"a{sign}b", uts46=True).decode()
    assert len(labels) > 4000
    rows = await sql.fetch("SELECT s, ascii_domain(s) FROM unnest($1::text[]) AS s", [*labels])
    assert [(s, key, labels[s]) for s, key in rows if key != labels[s]] == []


async def test_what_the_api_refuses_as_invisible_is_left_out_of_the_key(sql: Sql) -> None:
    rows = await sql.fetch(
        "SELECT s FROM unnest($1::text[]) AS s WHERE email_key('a' || s || 'b@c') = 'ab@c'", SIGNS
    )
    refused = re.compile(f"[{SPACE_OR_INVISIBLE}]")
    assert {row["s"] for row in rows} == {sign for sign in SIGNS if refused.match(sign)}
