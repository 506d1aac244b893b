"""Settings of sealing: the master keys, and for how long backups are kept."""

from __future__ import annotations

import os
import re
import stat
from base64 import b64decode, b64encode
from binascii import Error
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from app.config.request_settings import RequestSettings

KEY_BYTES = 32
LONGEST_FILE_BYTES = 1024 * 1024
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MAKE_ONE = "`openssl rand -base64 32` makes one"


class SealSettings(RequestSettings):
    seal_keys: SecretStr | None = Field(
        None,
        description="master keys, `id:base64 of 32 bytes`, by commas; the first wraps people's "
        "keys, the others still open. A lost one loses whatever it sealed, for ever",
    )
    seal_keys_file: Path | None = Field(
        None, description="a file that holds them, and that only its owner may read"
    )
    user_backup_kept_days: int = Field(
        30, ge=0, le=36_500, description="how long backups of the user database are kept"
    )
    general_backup_kept_days: int = Field(
        30, ge=0, le=36_500, description="how long backups of the general database are kept"
    )

    @model_validator(mode="after")
    def _check_seal_keys(self) -> Self:
        self.read_seal_keys()
        return self

    def read_seal_keys(self) -> dict[str, bytes]:
        """Read the master keys by their ids, the active one first; none if none are set.

        Raises ValueError that names the variable, and no value.
        """
        if self.seal_keys is not None and self.seal_keys_file is not None:
            raise ValueError("SEAL_KEYS and SEAL_KEYS_FILE are both set; set one of them")
        if self.seal_keys_file is not None:
            return _parse("SEAL_KEYS_FILE", _contents(self.seal_keys_file))
        if self.seal_keys is not None:
            return _parse("SEAL_KEYS", self.seal_keys.get_secret_value())
        return {}


def _contents(file: Path) -> str:
    """Read the file. The opened one is checked, since its path may come to name another."""
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as keys:
            _check_file(os.fstat(opened))
            return keys.read(LONGEST_FILE_BYTES).decode()
    except OSError as error:
        raise ValueError(f"SEAL_KEYS_FILE: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("SEAL_KEYS_FILE: is not UTF-8") from None


def _check_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("SEAL_KEYS_FILE: is not a file")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(
            "SEAL_KEYS_FILE: its group or others may read or change it; `chmod 600` it"
        )


def _parse(name: str, text: str) -> dict[str, bytes]:
    """Raises ValueError that quotes nothing: even what precedes a colon may be part of a key."""
    keys: dict[str, bytes] = {}
    entries = [entry.strip() for entry in text.strip().strip(",").split(",")]
    for place, entry in enumerate(entries, 1):
        key_id, colon, encoded = entry.partition(":")
        if not colon or not ID.fullmatch(key_id):
            raise ValueError(
                f"{name}: key {place} is not `id:base64`, with an id of 1 to 64 letters, digits, "
                "`.`, `_` and `-`"
            )
        key = _decoded(encoded)
        if len(key) != KEY_BYTES:
            raise ValueError(f"{name}: key {place} is not 32 bytes in base64; {MAKE_ONE}")
        if key_id in keys or key in keys.values():
            raise ValueError(f"{name}: key {place} is there twice; ids and keys must differ")
        keys[key_id] = key
    return keys


def _decoded(encoded: str) -> bytes:
    """Decode canonical base64; anything else becomes no bytes."""
    try:
        key = b64decode(encoded, validate=True)
    except (Error, ValueError):
        return b""
    return key if b64encode(key).decode() == encoded else b""
