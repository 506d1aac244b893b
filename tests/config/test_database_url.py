"""URLs of databases are read as libpq reads them; what is wrong with one shows nothing of it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from app.config.database_url import DatabaseUrl, Host
from app.config.settings import Settings

PASSWORDS = ["s3cr#et", "ab/cd", "pa@ss:w0rd", "p[x", "50%off", "a?b", "1?a=b", "x y", "a\nb"]
READ = {
    "postgresql://u:p%40x@h1:1,h2:2/d": ((Host("h1", 1), Host("h2", 2)), "u", "d"),
    "postgresql://u@h1:1/d?host=a,b&port=3": ((Host("a", 3), Host("b", 3)), "u", "d"),
    "postgres://u@[::1]:5433,h/d": ((Host("::1", 5433), Host("h", 5432)), "u", "d"),
    "postgresql+asyncpg:///d?host=/run/x&user=a%40b": ((Host("/run/x", 5432),), "a@b", "d"),
    "postgresql://u@[fe80::1%25eth0]/d": ((Host("fe80::1%eth0", 5432),), "u", "d"),
    "postgresql://u@/d?host=::1,%2Frun%2Fa%20b&port=5,6": (
        (Host("::1", 5), Host("/run/a b", 6)),
        "u",
        "d",
    ),
    "postgresql+psycopg://u:a:b^{}|@%2Frun%2Fx\n": ((Host("/run/x", 5432),), "u", "u"),
}
REFUSED = {
    "u@h1,,h2/d": "a host in the list is empty",
    "u@h1,h2/d?port=1,2,3": "there are not as many ports as hosts",
    "u@h:99999/d": "a port must be a number from 1 to 65535",
    "u@h/d?connect_timeout=abc": "connect_timeout must be a whole number",
    "u@h/d?sslmode=verifyfull": "sslmode must be one of",
    "u@h/d?sslmode=require&sslrootcert=/nope.pem": "sslrootcert names a file that cannot be read",
    "u@h/d?sslmode=require&sslrootcert=system": "sslrootcert=system needs sslmode=verify-full",
    "u@h/d?channel_binding=require": "channel_binding is not supported",
    "u@h/d?pgbouncer=true": "pgbouncer is not supported; set DB_PREPARED_STATEMENTS=false",
    "u@h/d?schema=private": "schema is not supported",
    "u@h/d?sslsni=0": "sslsni cannot be turned off",
    "u@h/d?load_balance_hosts=sometimes": "load_balance_hosts must be one of",
    "u@h/d?jit=off": "jit is no parameter that the service knows",
    "u@h/d?service=s": "service is not supported; write what its file says into the URL",
    "u@h/d?keepalives_idle=32768": "keepalives_idle must be at most 32767",
    "u@h/d?SSLMODE=require": "SSLMODE is no parameter that the service knows",
    "u:%ff@h/d": "must be UTF-8, without %00",
    "u@h/d?application_name=a%00": "must be UTF-8, without %00",
    "u@a..b/d": "a host's name has a part that is empty or too long",
    f"u@{'a' * 64}.example/d": "a host's name has a part that is empty or too long",
    "u@%2Frun%2Fa%2Cb/d": "a host's name has a comma in it",
    f"u@%2F{'a' * 99}/d": "the path of a socket's folder is too long",
    "u@h/d?x": "a parameter after ? is not written as name=value",
}


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_that_is_not_encoded_is_not_shown(password: str) -> None:
    with pytest.raises(ValueError, match="percent-encode") as refused:
        DatabaseUrl(f"postgresql://bicameral_app:{password}@127.0.0.1/b")
    assert not any(part in str(refused.value) for part in ("s3cr", "ss:w0rd", "off", "127.0"))


def test_the_rest_of_a_password_is_not_shown_as_a_parameters_name() -> None:
    with pytest.raises(ValueError, match=r"^a parameter is no parameter"):
        DatabaseUrl("postgresql://u@h/d?password=ab&cret=x")


@pytest.mark.parametrize("port", ["tcp://10.0.0.1:5432", "0", "\uff15"])
def test_a_port_of_the_environment_that_is_none(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", port)
    assert DatabaseUrl("postgresql://u@h:1/d").hosts == (Host("h", 1),)
    with pytest.raises(ValueError, match=r"^PGPORT must be a number from 1 to 65535$"):
        DatabaseUrl("postgresql://u@h/d")


def test_a_password_file_that_would_be_passed_over_is_refused(tmp_path: Path) -> None:
    (file := tmp_path / "passwords").touch(mode=0o644)
    url = f"postgresql://u@h/d?passfile={file}"
    with pytest.raises(ValueError, match="chmod 600"):
        DatabaseUrl(url)
    file.chmod(0o600)
    assert f"passfile={quote(str(file))}".replace("/", "%2F") in DatabaseUrl(url).dsn


def test_an_empty_value_counts_as_none() -> None:
    empty = DatabaseUrl("postgresql://u@h/d?sslmode=&sslrootcert=&connect_timeout=&port=&dbname=")
    assert empty.dsn == DatabaseUrl("postgresql://u@h/d").dsn


@pytest.mark.parametrize(("sent", "seconds"), [("3", 3), ("0", None), ("-1", None)])
def test_a_time_to_connect_is_read_in_seconds(sent: str, seconds: float | None) -> None:
    url = DatabaseUrl(f"postgresql://u@h/d?connect_timeout={sent}")
    assert url.connect_timeout_seconds == seconds


@pytest.mark.parametrize("url", READ)
def test_what_is_read(url: str) -> None:
    read = DatabaseUrl(url)
    assert (read.hosts, read.user, read.database) == READ[url]
    again = DatabaseUrl(read.dsn)
    assert (again.hosts, again.dsn) == (read.hosts, read.dsn)


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ValueError, match="database_url_user") as refused:
        Settings.model_validate({"database_url_user": f"postgresql://{url}"})
    assert REFUSED[url] in str(refused.value)


def test_what_is_done_anyway_may_be_asked_for() -> None:
    url = "postgresql://u@h/d?sslsni=1&gssencmode=prefer&schema=public&client_encoding=UTF8"
    assert "?" in DatabaseUrl(url).dsn
    assert DatabaseUrl(url).dsn == DatabaseUrl("postgresql://u@h/d").dsn


def test_the_systems_certificates_verify_the_host() -> None:
    context = DatabaseUrl("postgresql://u@h/d?sslrootcert=system").ssl_context()
    assert context
    assert context.check_hostname


def test_a_plus_sign_is_no_space() -> None:
    assert "password=a%2Bb" in DatabaseUrl("postgresql://u@h/d?password=a+b").dsn


def test_the_same_database_by_another_way_of_writing_it() -> None:
    url = "postgresql://x@h1,h2:5433/d"
    assert DatabaseUrl(url).is_same_as(DatabaseUrl("postgresql:///d?host=h2&port=5433&user=y"))
    assert not DatabaseUrl(url).is_same_as(DatabaseUrl("postgresql://x@h2/d"))
