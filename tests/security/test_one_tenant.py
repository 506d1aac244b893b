"""With the setting fixed to its tenant, the service's login writes nothing about anybody elsewhere.

Each statement that is refused stands beside the same one about somebody of its own, which works.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.accounts.tokens import token_digest
from tests.support.callers import Account, Callers
from tests.support.servers import Servers

ABOUT = {
    "token": """
INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)
VALUES ('x', {tenant}, {user}, now() + interval '1 hour')
""",
    "block": """
INSERT INTO user_blocks (tenant_id, user_id) VALUES ({tenant}, {user})
ON CONFLICT (user_id) DO UPDATE SET reason = 'spam'
""",
    "a block moved": "UPDATE user_blocks SET user_id = {user}",
    "key": """
INSERT INTO user_idempotency_keys (tenant_id, user_id, key, expires_at)
VALUES ({tenant}, {user}, 'another', now())
""",
    "what a key is about": """
INSERT INTO user_idempotency_keys (tenant_id, user_id, key, expires_at, about_id)
VALUES ({tenant}, {own}, 'another', now(), {user})
""",
    "what an API key's answer is about": """
INSERT INTO api_keys (tenant_id, id, name, digest, scopes)
VALUES ({tenant}, {own}, 'k', sha256({own}), '["tokens"]');
INSERT INTO api_key_answers (tenant_id, api_key_id, key, expires_at, about_id)
VALUES ({tenant}, {own}, 'another', now(), {user})
""",
}
NEW_USER = (
    "INSERT INTO users (id, tenant_id, username, email, password_hash, roles)"
    " VALUES (gen_random_uuid(), {tenant}, {name}, gen_random_uuid(), 'x', {roles})"
)
RENAMED = "UPDATE users SET username = {name}, roles = {roles} WHERE id = {own}"
MEMBER = '["member"]'
# The name to be given, with its tenant as `%`, and roles.
REFUSED = {
    "a name of the platform": (r"\platform\root", MEMBER),
    "a name of another tenant": (r"\other\%", MEMBER),
    "a name that begins alike": (r"\%2\newcomer", MEMBER),
    "a name without a tenant": (r"\newcomer", MEMBER),
    "the platform's role": (r"\%\newcomer", '["admin"]'),
    "the platform's role among others": (r"\%\newcomer", '["member", "admin"]'),
    "an unknown role": (r"\%\newcomer", '["owner"]'),
    "no list of roles": (r"\%\newcomer", '"member"'),
    "an object of roles": (r"\%\newcomer", '{"member": true}'),
}


class Inside(NamedTuple):
    """A connection of the service's login, somebody of its tenant, and somebody of another."""

    sql: asyncpg.Connection
    own: Account
    theirs: Account

    async def run(self, statement: str, **values: object) -> None:
        """Run it in the own tenant, and undo it. The values become literals."""
        fixed = {"tenant": self.own.tenant_id, "own": self.own.id}
        texts = {name: f"'{value}'" for name, value in (fixed | values).items()}
        transaction = self.sql.transaction()
        await transaction.start()
        try:
            await self.sql.execute(f"SET LOCAL app.tenant_id = '{self.own.tenant_id}'")
            await self.sql.execute(statement.format(**texts))
        finally:
            await transaction.rollback()

    @property
    def tenant_name(self) -> str:
        return self.own.username.split("\\")[1]


@pytest.fixture
async def inside(servers: Servers, shared: str, callers: Callers) -> AsyncIterator[Inside]:
    own, theirs = await callers.victim(), await callers.victim()
    sql = await asyncpg.connect(servers.user.url(shared, "bicameral_app"))
    yield Inside(sql, own.owner, theirs.owner)
    await sql.close()


async def _refusal(inside: Inside, statement: str, user: UUID) -> tuple[Any, ...]:
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await inside.run(statement, user=user)
    error = refused.value
    return type(error), error.constraint_name, str(error), str(error.detail).replace(str(user), "")


@pytest.mark.parametrize("kind", ABOUT)
async def test_a_row_about_somebody_elsewhere_is_refused_as_one_about_nobody(
    inside: Inside, kind: str
) -> None:
    """The answer tells nobody whether there is such an id in another tenant."""
    refusal = await _refusal(inside, ABOUT[kind], inside.theirs.id)
    assert refusal == await _refusal(inside, ABOUT[kind], uuid4())
    await inside.run(ABOUT[kind], user=inside.own.id)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("statement", [NEW_USER, RENAMED], ids=["new", "changed"])
async def test_a_name_and_the_roles_are_the_own_tenants(
    inside: Inside, statement: str, kind: str
) -> None:
    name, roles = REFUSED[kind]
    with pytest.raises(asyncpg.CheckViolationError):
        await inside.run(statement, name=name.replace("%", inside.tenant_name), roles=roles)
    for good in (MEMBER, '["tenant_admin", "member"]'):
        await inside.run(statement, name=f"\\{inside.tenant_name}\\newcomer", roles=good)


async def test_a_taken_name_elsewhere_is_refused_as_a_free_one(inside: Inside) -> None:
    refused: list[str] = []
    for name in (inside.theirs.username, f"\\{inside.tenant_name[:-1]}\\nobody"):
        with pytest.raises(asyncpg.CheckViolationError) as error:
            await inside.run(NEW_USER, name=name, roles=MEMBER)
        refused.append(str(error.value))
    assert refused[0] == refused[1]


async def test_the_platforms_administrators_may_be_made_there_and_blocked_users_everywhere(
    callers: Callers, inside: Inside
) -> None:
    """The control: what administrators of the platform do is none of this."""
    root = await callers.row("platform", "admin")
    await Inside(inside.sql, root, inside.theirs).run(
        NEW_USER, name="\\platform\\second", roles='["admin"]'
    )
    await Inside(inside.sql, root, inside.theirs).run(
        ABOUT["what a key is about"], user=inside.theirs.id
    )


@pytest.mark.parametrize("what", ["name = 'another'", "id = gen_random_uuid()"])
async def test_a_tenant_keeps_its_name_and_id(
    servers: Servers, shared: str, inside: Inside, what: str
) -> None:
    """Even the superuser would leave users behind whose names begin with another's."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await inside.run(f"UPDATE tenants SET {what}")
    superuser = await asyncpg.connect(servers.user.url(shared))
    with pytest.raises(asyncpg.CheckViolationError, match="a tenant keeps"):
        await superuser.execute(f"UPDATE tenants SET {what}")
    assert await superuser.execute("UPDATE tenants SET updated_at = now()") != "UPDATE 0"
    await superuser.close()


async def test_a_token_of_another_tenant_than_its_users_is_good_for_nothing(
    servers: Servers, shared: str, inside: Inside, callers: Callers
) -> None:
    """Were one there, past the foreign key."""
    token, digest = inside.theirs.token, token_digest(inside.theirs.token)
    superuser = await asyncpg.connect(servers.user.url(shared))
    ask = "SELECT count(*) FROM authenticate($1, '1 day')"
    lock = "SELECT lock_actor($1, $2) IS NULL"
    assert await inside.sql.fetchval(ask, digest) == 1
    assert await inside.sql.fetchval(lock, inside.theirs.id, digest) is False
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute(
        "UPDATE access_tokens SET tenant_id = $1 WHERE digest = $2", inside.own.tenant_id, digest
    )
    await superuser.close()
    assert await inside.sql.fetchval(ask, digest) == 0
    assert await inside.sql.fetchval(lock, inside.theirs.id, digest) is True
    assert (await callers.with_token(token).get("/v1/me")).status_code == 401


async def test_an_api_key_is_held_with_nobody_of_another_tenant(
    servers: Servers, shared: str, inside: Inside
) -> None:
    digest = token_digest("a key")
    superuser = await asyncpg.connect(servers.user.url(shared))
    await superuser.execute(
        "INSERT INTO api_keys (tenant_id, id, name, digest, scopes)"
        " VALUES ($1, gen_random_uuid(), 'k', $2, '[\"tokens\"]')",
        *(inside.own.tenant_id, digest),
    )
    await superuser.close()
    is_held = "SELECT lock_key($1, $2) IS NOT NULL"
    assert await inside.sql.fetchval(is_held, digest, None) is True
    assert await inside.sql.fetchval(is_held, digest, inside.own.id) is True
    assert await inside.sql.fetchval(is_held, digest, inside.theirs.id) is False
