"""The members of a JSON object, each as it was sent: decoding would change numbers and order."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from app.http.surrogates import Marked, marked

read = msgspec.json.Decoder(dict[str, Raw]).decode
decode = msgspec.json.decode
encode = msgspec.json.encode


class Members:
    """Raises msgspec.ValidationError for what is no object."""

    def __init__(self, sent: bytes) -> None:
        self._found: Marked | None = None
        try:
            self._raw = read(sent)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:  # it has halves of surrogate pairs
            self._found = marked(sent)
            self._raw = read(self._found.text)

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def json(self, name: str) -> str | None:
        """Give a member's JSON; None where it is not there."""
        raw = self._raw.get(name)
        return None if raw is None else self._restored(bytes(raw).decode())

    def string(self, name: str) -> str | None:
        """Give a member that is a string; None for any other."""
        raw = bytes(self._raw.get(name, b""))
        return decode(raw, type=str) if raw.startswith(b'"') else None

    def without(self, *names: str) -> str | None:
        """Write the others as an object; None where there are none."""
        others = [
            f"{encode(name).decode()}:{bytes(raw).decode()}"
            for name, raw in self._raw.items()
            if name not in names
        ]
        return self._restored(f"{{{','.join(others)}}}") if others else None

    def _restored(self, text: str) -> str:
        return self._found.restored(text) if self._found else text
