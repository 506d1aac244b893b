"""URLs of databases are read as libpq reads them; what is wrong with one shows nothing of it."""

from __future__ import annotations

import pytest

from app.config.database_url import DatabaseUrl, Host
from app.config.settings import Settings

PASSWORDS = ["s3cr#et", "ab/cd", "pa@ss:w0rd", "p[x", "50%off", "a?b", "1?a=b", "x y", "a\nb"]
READ = {
    "postgresql://u:p%40x@h1:1,h2:2/d": ((Host("h1", 1), Host("h2", 2)), "u", "d"),
    "postgresql://u@h1:1/d?host=a,b&port=3": ((Host("a", 3), Host("b", 3)), "u", "d"),
    "postgres://u@[::1]:5433,h/d": ((Host("::1", 5433), Host("h", 5432)), "u", "d"),
    "postgresql+asyncpg:///d?host=/run/x&user=a%40b": ((Host("/run/x", 5432),), "a@b", "d"),
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
    "u@h/d?x": "a parameter after ? is not written as name=value",
}


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_that_is_not_encoded_is_not_shown(password: str) -> None:
    with pytest.raises(ValueError, match="percent-encode") as refused:
        DatabaseUrl(f"postgresql://bicameral_app:{password}@127.0.0.1/b")
    assert not any(part in str(refused.value) for part in ("s3cr", "ss:w0rd", "off", "127.0"))


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
