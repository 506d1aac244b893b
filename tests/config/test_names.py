"""A misspelt setting stops the start; a variable that is somebody else's does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config.names import meant
from app.config.settings import Settings, SettingsError, load_settings

SETTINGS = {name.upper() for name in Settings.model_fields}
MISSPELT = {
    "DB_POLL_SIZE": "DB_POOL_SIZE",
    "DB_POOLSIZE": "DB_POOL_SIZE",
    "DATABASE_USER_URL": "DATABASE_URL_USER",
    "RELAY_WORKRES": "RELAY_WORKERS",
    "db_ehco": "DB_ECHO",
}
SOMEBODY_ELSES = """
DB_HOST DB_PORT DB_USER DB_PASSWORD DATABASE_URL DATABASE_HOST DATABASE_USER PASSWORD_STORE_DIR
PASSWORD_FILE METRICS_SERVICE_HOST METRICS_SERVICE_PORT_HTTP METRICS_PORT_9090_TCP_ADDR RELAY_PORT
LOGIN_SHELL TOKEN_URL REQUEST_METHOD REQUEST_ID CORS_ORIGINS HEALTH_CHECK
"""


@pytest.mark.parametrize("name", MISSPELT)
def test_a_typing_error_is_told_from(name: str) -> None:
    assert meant(name, SETTINGS) == MISSPELT[name]


@pytest.mark.parametrize("name", SOMEBODY_ELSES.split())
def test_a_name_of_somebody_else(name: str) -> None:
    assert meant(name, SETTINGS) is None


def test_the_address_of_a_service_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets it where there is a service called `metrics`."""
    monkeypatch.setenv("METRICS_PORT", "tcp://10.0.0.8:9090")
    assert load_settings().metrics_port == 0


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (b"DB_POLL_SIZE=5\n", "DB_POLL_SIZE is not a setting; did you mean DB_POOL_SIZE?"),
        (b"DB_POOL_SIZE=many\n", "DB_POOL_SIZE: "),
        (b"DB_POOL_SIZE=7 # \xfc\n", ".env: is not UTF-8; save it so"),
        (b"\xef\xbb\xbfDB_POLL_SIZE=5\r\n", "DB_POLL_SIZE is not a setting"),
        ("DB_POOL_SIZE=7\n".encode("utf-16-le"), ".env: is not UTF-8; save it so"),
        (b"METRICS=on\nDB_POOL_SIZE='7\n", ".env: line 2 is not NAME=value, or a quote"),
        (b"DB_LOCK_TIMEOUT_SECONDS=0.0004\n", "DB_LOCK_TIMEOUT_SECONDS: "),  # 0 ms: for ever
        (b"DB_STATEMENT_TIMEOUT_SECONDS=1e9\n", "DB_STATEMENT_TIMEOUT_SECONDS: "),
        (b"DB_CONNECT_TIMEOUT_SECONDS=inf\n", "DB_CONNECT_TIMEOUT_SECONDS: "),
        (b"TOKEN_LIFETIME_SECONDS=99999999999\n", "TOKEN_LIFETIME_SECONDS: must be at most"),
    ],
)
def test_dot_env_is_checked_like_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, refusal: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(text)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(refusal)


def test_dot_env_is_the_working_directorys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("DB_POOL_SIZE=7\nPASSWORD_STORE_DIR=x\nDB_PORT=tcp://x:1\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_settings().db_pool_size == 7
    monkeypatch.chdir(tmp_path / "below")
    assert load_settings().db_pool_size == 5
