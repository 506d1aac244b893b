"""Which passwords are accepted: NIST SP 800-63B-4, section 3.1.1.2."""

from __future__ import annotations

import string
from functools import cache

from app.http.errors import Invalid
from app.http.security import normalized

MIN_CODE_POINTS = 15
MAX_CODE_POINTS = 128
# What is left of a password without its owner's names must still be this long.
MIN_BESIDE_NAMES = 8
PADDING = string.digits + string.punctuation + string.whitespace


def check_password(password: str, names: list[str], *, path: str) -> None:
    """Raises Invalid with the rule that is broken. Any Unicode, no rules of composition."""
    rule = broken_rule(normalized(password), [name.casefold() for name in names if name])
    if rule:
        raise Invalid.field(path, rule)


def broken_rule(password: str, names: list[str]) -> str | None:
    if len(password) < MIN_CODE_POINTS:
        return f"Too short: at least {MIN_CODE_POINTS} characters."
    if len(password) > MAX_CODE_POINTS:
        return f"Too long: at most {MAX_CODE_POINTS} characters."
    if _is_common(password.casefold()):
        return "Too common: it is on a list of much-used passwords, or one of them padded out."
    if _is_little_but_names(password.casefold(), names):
        return "Too close to your own names: it is little more than those."
    return None


@cache
def _common() -> frozenset[str]:
    # Not before it is needed: the package's lists take 15 MB, and a fifth of a second.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])


def _is_common(password: str) -> bool:
    """Also a common one repeated to length, or with digits and signs around it."""
    common = _common()
    forms = {password, _unit(password), password.strip(PADDING)}
    forms.add(_unit(password.strip(PADDING)))
    return not forms.isdisjoint(common) or len(_unit(password)) < 3


def _unit(text: str) -> str:
    """The shortest prefix that, repeated, gives the text: `abcab` is `abc`, cut off."""
    return next((text[:n] for n in range(1, len(text)) if text[n:] == text[:-n]), text)


def _is_little_but_names(password: str, names: list[str]) -> bool:
    rest = password
    for name in sorted(names, key=len, reverse=True):
        rest = rest.replace(name, "")
    return rest != password and len(rest.strip(PADDING)) < MIN_BESIDE_NAMES
