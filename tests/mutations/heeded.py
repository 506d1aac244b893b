"""The test that fails when a setting is not listened to, for every setting there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from app.config.settings import Settings
from tests.mutations.mutants import Mutant

BY_EVERY_TEST = ("database_url_user", "database_url_general")
NOTICED_BY = {
    "database_url_user_owner": "migrations/test_commands.py",
    "database_url_general_owner": "migrations/test_commands.py",
    "database_url_user_relay": "bridge/erasure/test_deployment.py",
    "database_url_general_relay": "bridge/erasure/test_deployment.py",
    "db_pool_size": "databases/test_timeouts.py databases/test_pool.py chat/test_turns.py",
    "db_max_overflow": "databases/test_timeouts.py databases/test_pool.py",
    "db_pool_timeout": "databases/test_timeouts.py databases/test_statements.py",
    "db_pool_recycle_seconds": "databases/test_statements.py",
    "db_echo": "telemetry/test_requests.py",
    "db_connect_timeout_seconds": "databases/test_timeouts.py migrations/test_lock.py",
    "db_statement_timeout_seconds": "databases/test_timeouts.py",
    "db_lock_timeout_seconds": "databases/test_timeouts.py chat/test_turns.py",
    "db_idle_in_transaction_seconds": "databases/test_timeouts.py",
    "db_silence_seconds": "databases/test_silence.py databases/test_sockets.py",
    "db_prepared_statements": "databases/test_pgbouncer.py",
    "request_timeout_seconds": "edge/test_gate.py edge/test_overload.py edge/test_readers.py",
    "request_receive_seconds": "edge/test_smuggling.py edge/test_bodies.py",
    "request_max_head_bytes": "edge/test_smuggling.py edge/test_upgrades.py",
    "request_max_body_bytes": "http/test_errors.py",
    "request_bodies_max_bytes": "edge/test_bodies.py",
    "request_concurrency": "edge/test_overload.py",
    "request_queue": "edge/test_overload.py",
    "request_exports": "edge/test_shares.py",
    "request_rate_per_token": "edge/test_overload.py",
    "request_burst_per_token": "edge/test_overload.py",
    "request_drain_seconds": "edge/test_draining.py",
    "request_grace_seconds": "edge/test_draining.py",
    "trusted_proxies": "edge/test_forwarded.py",
    "root_path": "http/test_root_path.py",
    "cors_allowed_origins": "http/test_headers.py",
    "hsts_seconds": "http/test_headers.py",
    "seal_keys": "config/test_seal_keys.py",
    "seal_keys_file": "config/test_seal_keys.py",
    "user_backup_kept_days": "bridge/sealing/test_erasures.py",
    "general_backup_kept_days": "bridge/sealing/test_erasures.py",
    "migration_wait_seconds": "migrations/test_lock.py",
    "migration_lock_timeout_seconds": "migrations/test_lock.py",
    "migration_statement_timeout_seconds": "migrations/test_lock.py",
    "log_format": "telemetry/test_logs.py",
    "health_timeout_seconds": "operations/test_health.py",
    "metrics": "telemetry/test_metrics.py",
    "metrics_port": "telemetry/test_metrics.py",
    "metrics_host": "telemetry/test_metrics.py",
    "idempotency_kept_seconds": "http/idempotency/test_keys.py",
    "idempotency_sweep_seconds": "bridge/erasure/test_keys.py",
    "audit_kept_days": "bridge/erasure/test_audit.py",
    "password_hash_threads": "accounts/test_passwords.py edge/test_lanes.py",
    "password_hash_queue": "accounts/test_passwords.py edge/test_lanes.py",
    "token_idle_seconds": "accounts/test_login.py",
    "token_lifetime_seconds": "accounts/test_login.py",
    "login_free_attempts": "accounts/test_throttle.py",
    "login_max_delay_seconds": "accounts/test_throttle.py",
    "log_digest_key": "accounts/test_digests.py",
    "database_url_general_read": "bridge/export/test_standby.py",
    "retention_sweep_seconds": "bridge/retention/test_command.py",
    "relay": "bridge/erasure/test_settings.py",
    "relay_workers": "bridge/erasure/test_settings.py bridge/reconcile/test_settings.py",
    "relay_poll_seconds": "bridge/erasure/test_settings.py bridge/reconcile/test_settings.py",
    "relay_listen": "bridge/erasure/test_settings.py",
    "relay_batch_rows": "bridge/erasure/test_relay.py bridge/reconcile/test_settings.py",
    "relay_batch_users": "bridge/erasure/test_batches.py",
    "relay_lease_seconds": "bridge/erasure/test_relay.py bridge/reconcile/test_settings.py",
    "relay_turn_seconds": "bridge/erasure/test_relay.py",
    "relay_backoff_seconds": "bridge/erasure/test_relay.py",
    "relay_backoff_max_seconds": "bridge/erasure/test_relay.py",
    "relay_away_max_seconds": "bridge/erasure/test_settings.py",
    "relay_stop_seconds": "bridge/erasure/test_settings.py bridge/reconcile/test_second_look.py",
    "relay_beat_seconds": "bridge/test_heartbeats.py",
    "relay_reconcile_seconds": "bridge/reconcile/test_readings.py",
    "reconcile_statement_timeout_seconds": "bridge/erasure/test_settings.py",
}


def noticing(setting: str) -> list[str]:
    return [f"tests/{name}" for name in NOTICED_BY[setting].split()]


def ignored(root: Path, setting: str) -> Iterator[Mutant]:
    """Yield each file that uses the setting, with its default in the setting's place."""
    default = repr(Settings.model_fields[setting].default)
    used = re.compile(rf"(\w+\.)*\b_?settings\.{setting}\b(?!\()")
    for path in [*sorted((root / "app").rglob("*.py")), root / "migrations" / "env.py"]:
        text = path.read_text()
        if "config/" not in str(path) and (first := used.search(text)):
            line = text.count("\n", 0, first.start()) + 1
            changed = used.sub(f"({default})", text)
            yield Mutant(str(path.relative_to(root)), line, first[0], default, changed)
