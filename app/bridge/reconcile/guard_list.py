"""The triggers and foreign keys of both databases, and the constraints that a proof rests on.

A test holds that no trigger and no foreign key of a migrated database is missing here.
"""

from __future__ import annotations

from app.databases.connection import DatabaseName

OF_A_USER = "FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE"
OF_A_KEY = (
    "FOREIGN KEY (tenant_id, api_key_id) REFERENCES api_keys (tenant_id, id) ON DELETE CASCADE"
)
ABOUT_A_USER = "FOREIGN KEY (about_id) REFERENCES users (id) ON DELETE SET NULL"


def _about_a_user(table: str) -> dict[str, str]:
    """Give the triggers of a table of stored answers."""
    return {
        "forget_answer": f"BEFORE UPDATE OF about_id ON {table} FOR EACH ROW"
        " WHEN (NEW.about_id IS NULL) EXECUTE FUNCTION forget_answer()",
        "keep_answer_at_home": f"BEFORE INSERT OR UPDATE OF about_id ON {table} FOR EACH ROW"
        " WHEN (NEW.about_id IS NOT NULL) EXECUTE FUNCTION keep_answer_at_home()",
    }


# By database and table: the name of each, and the text that makes it.
GUARDS: dict[DatabaseName, dict[str, dict[str, str]]] = {
    "user": {
        "tenants": {
            "keep_tenant_name": "BEFORE UPDATE OF id, name ON tenants FOR EACH ROW"
            " WHEN (OLD.id <> NEW.id OR OLD.name <> NEW.name) EXECUTE FUNCTION keep_tenant_name()",
        },
        "users": {
            "keep_subject_ledger": "AFTER INSERT OR DELETE ON users FOR EACH ROW"
            " EXECUTE FUNCTION keep_subject_ledger()",
            "refuse_users_move": "BEFORE UPDATE OF id, tenant_id ON users FOR EACH ROW"
            " WHEN (OLD.id <> NEW.id OR OLD.tenant_id <> NEW.tenant_id)"
            " EXECUTE FUNCTION refuse_ledger_change()",
            "refuse_users_truncate": "BEFORE TRUNCATE ON users"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()",
            "fill_user_keys": "BEFORE INSERT OR UPDATE OF username, email, username_key, email_key"
            " ON users FOR EACH ROW EXECUTE FUNCTION fill_user_keys()",
            "keep_user_at_home": "BEFORE INSERT OR UPDATE OF tenant_id, username, roles ON users"
            " FOR EACH ROW EXECUTE FUNCTION keep_user_at_home()",
            "fk_users_tenant_id_tenants": "FOREIGN KEY (tenant_id) REFERENCES tenants (id)"
            " ON DELETE CASCADE",
        },
        "subject_ledger": {
            "refuse_ledger_truncate": "BEFORE TRUNCATE ON subject_ledger"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()",
            "refuse_ledger_delete": "BEFORE DELETE ON subject_ledger"
            " FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()",
            "refuse_ledger_return": "BEFORE UPDATE ON subject_ledger FOR EACH ROW"
            " WHEN (OLD.state = 'deleted' AND NEW.state <> 'deleted' OR NEW.rev < OLD.rev)"
            " EXECUTE FUNCTION refuse_ledger_change()",
            "ck_subject_ledger_state": "CHECK (state IN ('present', 'deleted'))",
        },
        "access_tokens": {
            "fk_access_tokens_user_id_users": OF_A_USER,
            "fk_access_tokens_tenant_id_api_keys": OF_A_KEY,
        },
        "user_blocks": {
            "fk_user_blocks_user_id_users": OF_A_USER,
            "keep_block_at_home": "BEFORE INSERT OR UPDATE OF tenant_id, user_id ON user_blocks"
            " FOR EACH ROW EXECUTE FUNCTION keep_block_at_home()",
        },
        "api_keys": {
            "fk_api_keys_tenant_id_tenants": "FOREIGN KEY (tenant_id) REFERENCES tenants (id)"
            " ON DELETE CASCADE",
        },
        "api_key_answers": {
            "fk_api_key_answers_tenant_id_api_keys": OF_A_KEY,
            "fk_api_key_answers_about_id_users": ABOUT_A_USER,
            **_about_a_user("api_key_answers"),
        },
        "login_addresses": {
            "fk_login_addresses_user_id_users": OF_A_USER,
        },
        "login_failures": {
            "fk_login_failures_user_id_users": OF_A_USER,
        },
        "holds": {
            "fk_holds_user_id_users": "FOREIGN KEY (tenant_id, user_id)"
            " REFERENCES users (tenant_id, id) ON DELETE RESTRICT",
            "keep_hold_ledger": "AFTER INSERT OR DELETE ON holds"
            " FOR EACH ROW EXECUTE FUNCTION keep_hold_ledger()",
            "refuse_holds_truncate": "BEFORE TRUNCATE ON holds"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()",
        },
        "wrapped_keys": {
            "fk_wrapped_keys_user_id_users": OF_A_USER,
            "fk_wrapped_keys_master_id_master_keys": "FOREIGN KEY (master_id)"
            " REFERENCES master_keys (id)",
            "note_destroyed_key": "AFTER DELETE ON wrapped_keys FOR EACH ROW"
            " EXECUTE FUNCTION note_destroyed_key()",
        },
        "user_idempotency_keys": {
            "fk_user_idempotency_keys_user_id_users": OF_A_USER,
            "fk_user_idempotency_keys_about_id_users": ABOUT_A_USER,
            **_about_a_user("user_idempotency_keys"),
        },
    },
    "general": {
        "owners": {
            "keep_owner_forward": "BEFORE UPDATE OR DELETE ON owners"
            " FOR EACH ROW EXECUTE FUNCTION keep_owner_forward()",
            "keep_owner_key": "BEFORE UPDATE OF key_id ON owners"
            " FOR EACH ROW EXECUTE FUNCTION keep_owner_key()",
            "refuse_owners_truncate": "BEFORE TRUNCATE ON owners"
            " FOR EACH STATEMENT EXECUTE FUNCTION keep_owner_forward()",
            "ck_owners_state": "CHECK (state IN ('open', 'closed', 'erased'))",
        },
        "chat_sessions": {
            "make_owner": "BEFORE INSERT ON chat_sessions"
            " FOR EACH ROW EXECUTE FUNCTION make_owner()",
            "owner_is_open": "AFTER INSERT OR UPDATE OF tenant_id, user_id ON chat_sessions"
            " FOR EACH ROW EXECUTE FUNCTION owner_is_open()",
            "keep_changed_minute": "AFTER INSERT OR UPDATE OF updated_at, changed_minute"
            " ON chat_sessions FOR EACH ROW"
            " WHEN (NEW.changed_minute IS DISTINCT FROM date_trunc('minute', NEW.updated_at))"
            " EXECUTE FUNCTION keep_changed_minute()",
            "keep_held": "BEFORE DELETE ON chat_sessions FOR EACH ROW EXECUTE FUNCTION keep_held()",
            "fk_chat_sessions_tenant_id_owners": "FOREIGN KEY (tenant_id, user_id)"
            " REFERENCES owners (tenant_id, user_id)",
        },
        "messages": {
            "fk_messages_tenant_id_chat_sessions": "FOREIGN KEY (tenant_id, session_id)"
            " REFERENCES chat_sessions (tenant_id, id) ON DELETE CASCADE",
        },
        "general_idempotency_keys": {
            "owner_is_open": "AFTER INSERT OR UPDATE OF tenant_id, user_id"
            " ON general_idempotency_keys FOR EACH ROW EXECUTE FUNCTION owner_is_open()",
            "fk_general_idempotency_keys_tenant_id_owners": "FOREIGN KEY (tenant_id, user_id)"
            " REFERENCES owners (tenant_id, user_id)",
            "fk_general_idempotency_keys_tenant_id_chat_sessions": "FOREIGN KEY"
            " (tenant_id, about_id) REFERENCES chat_sessions (tenant_id, id) ON DELETE CASCADE",
        },
        "erasure_receipts": {
            "refuse_receipt_change": "BEFORE UPDATE OR DELETE ON erasure_receipts"
            " FOR EACH ROW EXECUTE FUNCTION refuse_receipt_change()",
            "refuse_receipt_truncate": "BEFORE TRUNCATE ON erasure_receipts"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_receipt_change()",
            "ck_erasure_receipts_remaining": "CHECK (remaining = 0)",
        },
    },
}

# From the words of a difference to the guard's database, table and name.
THINGS: dict[str, tuple[DatabaseName, str, str]] = {
    f"{name} on {table} in the {database} database": (database, table, name)
    for database, tables in GUARDS.items()
    for table, guards in tables.items()
    for name in guards
}
