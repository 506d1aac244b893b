"""A domain in its ASCII form is looked at as what it stands for."""

from __future__ import annotations

import re
from unicodedata import normalize

from app.accounts.schemas import SPACE_OR_INVISIBLE
from app.http.errors import Invalid

WORDS = "Send the domain as it is registered: one of its parts that begin with xn-- is nobody's."
UNSEEN = re.compile(f"[{SPACE_OR_INVISIBLE}]")
LETTERS_OF_THEIR_OWN = "ßς"  # which IDNA keeps, and case folding does not


def undisguised(email: str) -> str:
    """Return the address; raises Invalid where its domain hides invisible characters, capitals or
    another composition in punycode, where nobody sees them and the address's key does not look.
    """
    domain = normalize("NFKC", email.rpartition("@")[2]).lower()
    for label in re.split(r"[.\u3002]", domain):
        if label.startswith("xn--") and not _is_registered(label.removeprefix("xn--")):
            raise Invalid.field("email", WORDS)
    return email


def _is_registered(coded: str) -> bool:
    """Tell whether this is the one ASCII form of a label that needs one."""
    try:
        label = coded.encode("ascii").decode("punycode")
        label.encode()  # fails for half a character
    except UnicodeError:
        return False
    folded = "".join(s if s in LETTERS_OF_THEIR_OWN else s.casefold() for s in label)
    return (
        not label.isascii()
        and not UNSEEN.search(label)
        and normalize("NFKC", folded) == label
        and label.encode("punycode").decode() == coded
    )
