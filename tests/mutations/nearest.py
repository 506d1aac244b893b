"""The tests that are nearest to a file: those that should notice a fault in it."""

from __future__ import annotations

from pathlib import Path

# The first that a path begins with says it. Tests of whole rooms would take too long.
NEAREST = {
    "app/accounts/api": "tests/accounts/test_users.py tests/accounts/test_login.py tests/security/test_matrix.py",  # noqa: E501
    "app/accounts/audit": "tests/accounts/test_audit.py tests/accounts/test_audit_page.py",
    "app/accounts/throttle": "tests/accounts/test_throttle.py tests/accounts/test_lockout.py",
    "app/accounts/password": "tests/accounts/test_passwords.py tests/accounts/test_login.py",
    "app/accounts/strength": "tests/accounts/test_passwords.py",
    "app/accounts/repositories": "tests/accounts",
    "app/accounts": "tests/accounts",
    "app/bridge/erasure/receipts": "tests/bridge/erasure/test_receipts.py",
    "app/bridge/erasure": "tests/bridge/erasure",
    "app/bridge/export": "tests/bridge/export tests/bridge/test_export.py",
    "app/bridge/reconcile": "tests/bridge/reconcile",
    "app/bridge": "tests/bridge/erasure tests/bridge/test_export.py",
    "app/chat": "tests/chat tests/http/idempotency",
    "app/commands/embedded": "tests/commands/embedded tests/commands/test_dev.py",
    "app/commands": "tests/commands tests/migrations/test_commands.py tests/bridge/erasure/test_receipts.py",  # noqa: E501
    "app/config": "tests/security/test_start.py tests/databases/test_hosts.py tests/test_settings.py",  # noqa: E501
    "app/databases/sql/general": "tests/chat tests/bridge tests/http/idempotency",
    "app/databases/sql/user": "tests/accounts tests/bridge/erasure tests/bridge/reconcile",
    "app/databases": "tests/databases",
    "app/edge": "tests/edge",
    "app/http/idempotency": "tests/http/idempotency",
    "app/http/paging": "tests/http/test_paging.py tests/accounts/test_lists.py tests/chat/test_sessions.py",  # noqa: E501
    "app/http": "tests/http tests/security",
    "app/operations": "tests/operations tests/telemetry",
    "app/telemetry": "tests/telemetry tests/security/test_logs.py",
    "app": "tests/security/test_start.py tests/operations tests/commands/test_run.py",
}


def nearest(root: Path, path: str) -> list[str]:
    """Name the tests that are there."""
    prefix = next(prefix for prefix in NEAREST if path.startswith(prefix))
    return [one for one in NEAREST[prefix].split() if (root / one).exists()]
