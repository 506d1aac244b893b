"""The rights of each login, and no others: a new table or function is one line here.

Applied after every migration, by the owner, and exact: whatever is not listed is taken away,
from PUBLIC too, to whom PostgreSQL gives EXECUTE on every new function.
"""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config.database_url import DatabaseUrl
from app.config.settings import Settings
from app.databases.connection import DatabaseName
from migrations.things import QUOTED, ROLE_EXISTS, THINGS, Thing

Login = Literal["service", "relay", "backup"]

LOGINS: dict[Login, str] = {"service": "", "relay": "_relay"}  # DATABASE_URL_USER_RELAY
BACKUP = "bicameral_backup"  # made by roles.sql, where that may be; no URL names it
EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"
LOCK = "UPDATE (created_at)"  # SELECT … FOR UPDATE or SHARE needs UPDATE of some column
COMPARED = ("fold_case", "username_key", "email_key", "ascii_domain", "punycode")
PLATFORM = (
    *("platform_tenants", "platform_users", "platform_tenants_by_time", "platform_users_by_time"),
    *("platform_user_page", "platform_erasures", "platform_erasures_by_time"),
    "platform_audit_page",
)
ERASURES = (
    *("claim_erasures", "renew_erasures", "acknowledge_erasures", "release_erasures"),
    *("claim_erasure", "renew_erasure", "acknowledge_erasure", "release_erasure"),  # version before
    *("postpone_erasure", "settle_erasures"),
)
STEPS = (
    *("close_owners", "erase_rows", "append_receipts", "append_receipt_of"),
    "check_closed",
    *("close_owner", "erase_keys", "erase_messages", "erase_sessions", "append_receipt"),  # before
)
HOLDS = ("pending_holds", "acknowledge_hold", "outrun_hold", "hold_backlog", "hold_facts")
OF_THE_VERSION_BEFORE = (
    *("find_session", "open_session", "find_or_open_session", "store_items", "read_items"),
    *("read_item", "chat_session_of", "read_messages", "open_chat_session"),
    *("store_message", "store_messages", "message_of", "edit_message", "store_answer"),
    *("export_page", "read_messages_by_bytes"),
)
SEALING = (
    *("keep_wrapped_key", "wrapped_key_of", "wrapped_keys_page", "rewrap_key", "drop_wrapped_key"),
    *("note_sealed", "begin_sealing", "settle_sealing", "end_sealing", "sealing_state"),
    *("use_master_key", "forget_master_keys", "master_keys_in_use", "people_of_master_keys"),
    *("keep_backup_days", "people_sealed"),
)
RETENTION = (
    *("sweepable_tenants", "overdue", "lock_overdue", "sweep_rows", "sweep_sessions"),
    "receive_retention",
)
CHAIN = ("lock_receipts", "link_receipt", "receipt_hash")
RECONCILE = (
    *("ledger_digest", "ledger_keys", "ledger_suspects", "ledger_facts", "ledger_is_empty"),
    *("credentials_of_people", "credentials_of_backends", "other_keys"),
)
PRIVILEGES: dict[DatabaseName, dict[Login, dict[str, str]]] = {
    "user": {
        "service": {
            "alembic_version": "SELECT",
            "tenants": "SELECT, INSERT, DELETE, UPDATE (created_at, updated_at, retention_days)",
            "users": EVERYTHING,
            "user_blocks": EVERYTHING,
            "holds": "SELECT, INSERT, UPDATE (reason), DELETE",
            "access_tokens": "SELECT, INSERT, DELETE",
            "api_keys": "SELECT, INSERT, DELETE",
            "api_key_answers": "SELECT, INSERT, DELETE",
            "audit_events": "SELECT, INSERT",  # the service adds only
            "user_idempotency_keys": "SELECT, INSERT, DELETE",
            "subject_ledger": "SELECT",
            "login_addresses": "SELECT",
            # login_failures, digest_keys: through the functions only
            "begin_login": "EXECUTE",
            "confirm_login": "EXECUTE",
            "digest_key": "EXECUTE",
            "audit_id": "EXECUTE",
            "authenticate": "EXECUTE",  # by the version before
            "authenticate_token": "EXECUTE",  # by the version before
            "authenticate_key": "EXECUTE",  # by the version before
            "caller_of_token": "EXECUTE",
            "caller_of_key": "EXECUTE",
            # sealing, master_keys, wrapped_keys: through the functions only
            **dict.fromkeys(SEALING, "EXECUTE"),
            "lock_key": "EXECUTE",
            "tenant_of_api_key": "EXECUTE",
            "platform_audit_events": "EXECUTE",
            "person_audit_events": "EXECUTE",
            "exported_audit_events": "EXECUTE",
            "platform_api_keys": "EXECUTE",
            "login_attempt": "EXECUTE",
            "login_succeeded": "EXECUTE",
            "lock_actor": "EXECUTE",
            **dict.fromkeys(COMPARED, "EXECUTE"),  # by the trigger, which has the writer's rights
            **dict.fromkeys(PLATFORM, "EXECUTE"),
            "tenant_of_user": "EXECUTE",
            "tenant_named": "EXECUTE",
            "erasure_backlog": "EXECUTE",
            "mend_ledger": "EXECUTE",
            **dict.fromkeys(("hold_backlog", "mend_hold"), "EXECUTE"),
            **dict.fromkeys(("end_tokens", "catch_up"), "EXECUTE"),
        },
        "relay": {
            **dict.fromkeys(ERASURES, "EXECUTE"),
            "erasure_backlog": "EXECUTE",
            **dict.fromkeys(("expire_keys", "expire_tokens", "expire_audit_events"), "EXECUTE"),
            **dict.fromkeys(("retention_policies", "retention_policy"), "EXECUTE"),
            **dict.fromkeys(RECONCILE, "EXECUTE"),
            **dict.fromkeys(HOLDS, "EXECUTE"),
            **dict.fromkeys(("heartbeat", "beat", "seconds_since_deletion"), "EXECUTE"),
        },
    },
    "general": {
        "service": {
            "alembic_version": "SELECT",
            "chat_sessions": EVERYTHING,
            "messages": EVERYTHING,
            "owners": "SELECT, INSERT (tenant_id, user_id), UPDATE (created_at, key_id)",
            "general_idempotency_keys": "SELECT, INSERT, DELETE,"
            " UPDATE (answer, fingerprint, sealed)",
            "fork_session": "EXECUTE",
            "get_session": "EXECUTE",
            "begin_session": "EXECUTE",
            "find_or_begin_session": "EXECUTE",
            "get_message": "EXECUTE",
            "list_messages": "EXECUTE",
            "list_messages_by_bytes": "EXECUTE",
            "write_message": "EXECUTE",
            "write_messages": "EXECUTE",
            "change_message": "EXECUTE",
            "list_items": "EXECUTE",
            "get_item": "EXECUTE",
            "write_items": "EXECUTE",
            "write_answer": "EXECUTE",
            "check_write_under": "EXECUTE",
            "export_parts": "EXECUTE",
            "lock_fork": "EXECUTE",
            "stored_messages": "EXECUTE",
            "forget_key": "EXECUTE",
            "is_sealed": "EXECUTE",
            "item_place": "EXECUTE",
            "message_page": "EXECUTE",
            "small_message_page": "EXECUTE",
            "message_page_by_bytes": "EXECUTE",
            "append_message": "EXECUTE",
            "append_messages": "EXECUTE",
            "add_message": "EXECUTE",
            "add_messages": "EXECUTE",
            "delete_messages": "EXECUTE",
            "forget_answers": "EXECUTE",
            "keep_answer": "EXECUTE",
            "check_write": "EXECUTE",
            "check_overwrite": "EXECUTE",
            "export_messages": "EXECUTE",
            **dict.fromkeys(OF_THE_VERSION_BEFORE, "EXECUTE"),
            "nothing_was_said": "EXECUTE",
            "catch_up": "EXECUTE",
            "owners_page": "EXECUTE",
            "owners_never_sealed": "EXECUTE",
        },
        "relay": {
            # Ids and counts, never what was said
            "chat_sessions": f"SELECT (tenant_id, user_id, id, message_count), {LOCK}",
            "owners": f"SELECT, {LOCK}",
            "general_idempotency_keys": "SELECT (tenant_id, user_id)",
            "set_hold": "EXECUTE",
            "held_owners": "EXECUTE",
            **dict.fromkeys(STEPS, "EXECUTE"),
            "expire_keys": "EXECUTE",
            **dict.fromkeys(RETENTION, "EXECUTE"),
            **dict.fromkeys(CHAIN, "EXECUTE"),  # by what appends a receipt
            "exported_receipts": "EXECUTE",
            "owner_digest": "EXECUTE",
            "owner_keys": "EXECUTE",
            "owner_suspects": "EXECUTE",
            "owner_facts": "EXECUTE",
            "stray_messages": "EXECUTE",
            "broken_receipts": "EXECUTE",
            "sealed_owners": "EXECUTE",
            **dict.fromkeys(("heartbeat", "beat", "active_since"), "EXECUTE"),
        },
    },
}

# A new function is nobody's but the owner's from the moment a revision makes it.
NOT_BY_DEFAULT = "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC"


async def logins(
    connection: AsyncConnection, settings: Settings, name: DatabaseName
) -> dict[Login, str]:
    """The roles the URLs name, but the owner's own. Raises if there is none of that name."""
    owner = await connection.scalar(sa.text("SELECT current_user"))
    found: dict[Login, str] = {}
    for login, suffix in LOGINS.items():
        variable = f"database_url_{name}{suffix}"
        if (value := getattr(settings, variable)) is None:
            continue
        role = _role(value.get_secret_value())
        if not await connection.scalar(ROLE_EXISTS, {"role": role}):
            raise CommandError(
                f'{variable.upper()}: its role "{role}" does not exist; create it first'
            )
        if role != owner:
            found[login] = role
    if await connection.scalar(ROLE_EXISTS, {"role": BACKUP}):
        found["backup"] = BACKUP
    return found


def _role(url: str) -> str:
    return DatabaseUrl(url).user


async def apply(connection: AsyncConnection, name: DatabaseName, roles: dict[Login, str]) -> None:
    """Grant in the caller's transaction, so that nobody is without their rights meanwhile."""
    things = [Thing(*row) for row in await connection.execute(THINGS)]
    quoted: dict[Login, str] = {
        login: await connection.scalar(QUOTED, {"role": role}) for login, role in roles.items()
    }
    everyone = ", ".join(("PUBLIC", *quoted.values()))
    statements = [f"REVOKE ALL ON {one.kind} {one.quoted} FROM {everyone}" for one in things]
    statements.append(NOT_BY_DEFAULT)
    for login in LOGINS:
        # Without a login of its own, the relay runs with the service's.
        role = quoted.get(login) or quoted.get("service")
        if role:
            statements += _grants(things, PRIVILEGES[name][login], role)
    if "backup" in quoted:
        tables = [one for one in things if one.kind != "ROUTINE"]
        statements += [f"GRANT SELECT ON {one.kind} {one.quoted} TO {BACKUP}" for one in tables]
    for statement in statements:
        await connection.exec_driver_sql(statement)


def _grants(things: list[Thing], wanted: dict[str, str], role: str) -> list[str]:
    """Grant what is wanted on those things that exist at this revision."""
    return [
        f"GRANT {one.there(wanted[one.name])} ON {one.kind} {one.quoted} TO {role}"
        for one in things
        if one.name in wanted and (one.kind == "ROUTINE") == (wanted[one.name] == "EXECUTE")
    ]
