"""Every grant is written down here once more, so that none changes unnoticed.

migrations/privileges.py is held to these texts, so nothing of it is read here. A column grant names
its columns; a function's is EXECUTE.
"""

from __future__ import annotations

import re
from typing import Literal

from app.databases.connection import DatabaseName

Login = Literal["service", "relay", "backup"]
Grants = set[tuple[str, str]]
ROLES: dict[Login, str] = {
    "service": "bicameral_app",
    "relay": "bicameral_relay",
    "backup": "bicameral_backup",
}

TEXTS: dict[DatabaseName, dict[Login, str]] = {
    "user": {
        "service": """
alembic_version: SELECT
tenants: SELECT, INSERT, DELETE, UPDATE (created_at, updated_at, retention_days)
users: SELECT, INSERT, UPDATE, DELETE
user_blocks: SELECT, INSERT, UPDATE, DELETE
holds: SELECT, INSERT, UPDATE (reason), DELETE
access_tokens: SELECT, INSERT, DELETE
user_idempotency_keys: SELECT, INSERT, DELETE
api_keys: SELECT, INSERT, DELETE
api_key_answers: SELECT, INSERT, DELETE
audit_events: SELECT, INSERT
subject_ledger: SELECT
login_addresses: SELECT
functions: authenticate, authenticate_token, authenticate_key, lock_key, tenant_of_api_key
functions: platform_audit_page, hold_backlog, mend_hold
functions: platform_audit_events, person_audit_events, exported_audit_events, audit_id
functions: platform_erasures_by_time
functions: username_key, email_key, fold_case, ascii_domain, punycode
functions: begin_login, confirm_login, digest_key
functions: login_attempt, login_succeeded, lock_actor, tenant_named, tenant_of_user
functions: platform_tenants, platform_users, platform_tenants_by_time, platform_users_by_time
functions: platform_erasures, erasure_backlog, mend_ledger
functions: platform_api_keys, platform_user_page
functions: caller_of_token, caller_of_key, keep_wrapped_key, wrapped_key_of, wrapped_keys_page
functions: rewrap_key, drop_wrapped_key, note_sealed, begin_sealing, settle_sealing, end_sealing
functions: use_master_key, forget_master_keys, master_keys_in_use, people_of_master_keys
functions: keep_backup_days, people_sealed, sealing_state
functions: end_tokens, catch_up
""",
        "relay": """
functions: claim_erasure, renew_erasure, acknowledge_erasure, postpone_erasure, release_erasure
functions: claim_erasures, renew_erasures, acknowledge_erasures, release_erasures
functions: erasure_backlog, expire_keys, expire_tokens, expire_audit_events
functions: retention_policies, retention_policy
functions: ledger_digest, ledger_keys, ledger_suspects, ledger_facts, ledger_is_empty
functions: settle_erasures, other_keys
functions: pending_holds, acknowledge_hold, outrun_hold, hold_backlog, hold_facts
functions: heartbeat, beat, credentials_of_people, credentials_of_backends
functions: seconds_since_deletion
""",
        "backup": """
alembic_version: SELECT
tenants: SELECT
users: SELECT
user_blocks: SELECT
holds: SELECT
access_tokens: SELECT
user_idempotency_keys: SELECT
subject_ledger: SELECT
login_throttles: SELECT
login_failures: SELECT
login_addresses: SELECT
digest_keys: SELECT
api_keys: SELECT
api_key_answers: SELECT
audit_events: SELECT
sealing: SELECT
master_keys: SELECT
wrapped_keys: SELECT
heartbeats: SELECT
""",
    },
    "general": {
        "service": """
alembic_version: SELECT
owners: SELECT, INSERT (tenant_id, user_id), UPDATE (created_at, key_id)
chat_sessions: SELECT, INSERT, UPDATE, DELETE
messages: SELECT, INSERT, UPDATE, DELETE
general_idempotency_keys: SELECT, INSERT, UPDATE (answer, fingerprint, sealed), DELETE
functions: lock_fork, stored_messages, forget_key, is_sealed
functions: message_of, edit_message, delete_messages, forget_answers
functions: chat_session_of, message_page, message_page_by_bytes, small_message_page
functions: append_message, append_messages, open_chat_session, add_message, add_messages
functions: read_messages, read_messages_by_bytes, store_message, store_messages, store_answer
functions: keep_answer, check_write, check_overwrite, export_messages, export_page
functions: find_session, open_session, find_or_open_session, fork_session
functions: item_place, store_items, read_items, read_item
functions: get_session, begin_session, find_or_begin_session, write_answer, check_write_under
functions: get_message, list_messages, list_messages_by_bytes, write_message, write_messages
functions: change_message, list_items, get_item, write_items, export_parts
functions: catch_up
functions: nothing_was_said, owners_page, owners_never_sealed
""",
        "relay": """
owners: SELECT, UPDATE (created_at)
chat_sessions: SELECT (tenant_id, user_id, id, message_count), UPDATE (created_at)
general_idempotency_keys: SELECT (tenant_id, user_id)
functions: close_owner, check_closed, erase_keys, erase_messages, erase_sessions
functions: lock_receipts, link_receipt, receipt_hash
functions: sweepable_tenants, overdue, sweep_rows, sweep_sessions, lock_overdue, receive_retention
functions: append_receipt, exported_receipts, expire_keys, set_hold, held_owners
functions: close_owners, erase_rows, append_receipts, append_receipt_of
functions: owner_digest, owner_keys, owner_suspects, owner_facts, stray_messages, broken_receipts
functions: sealed_owners
functions: heartbeat, beat, active_since
""",
        "backup": """
alembic_version: SELECT
owners: SELECT
chat_sessions: SELECT
messages: SELECT
general_idempotency_keys: SELECT
erasure_receipts: SELECT
heartbeats: SELECT
retention_tallies: SELECT
""",
    },
}


def expected(name: DatabaseName, *logins: Login) -> Grants:
    """List what these logins may do: the thing, and the privilege as the catalogue tells it."""
    lines = [line for login in logins for line in TEXTS[name][login].strip().splitlines()]
    return {grant for line in lines for grant in _grants(*line.split(": "))}


def _grants(thing: str, wanted: str) -> Grants:
    if thing == "functions":
        return {(function, "EXECUTE") for function in wanted.split(", ")}
    found = re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", wanted)
    return {(thing, one) for privilege, columns in found for one in _columns(privilege, columns)}


def _columns(privilege: str, columns: str) -> list[str]:
    return [f"{privilege} ({one})" for one in columns.split(", ")] if columns else [privilege]
