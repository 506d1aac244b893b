"""This estimates how many guesses a password withstands, by zxcvbn, and says why one is weak."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cache

CODE_POINTS_LOOKED_AT = 72  # zxcvbn's own limit: its time grows with the square of the length
LEAST_SCORE = 3  # of 0 to 4: more than 10^8 guesses
PRODUCT = "bicameral"
# zxcvbn looks a password up in every reading of its signs as letters: with all of them in it there
# are hundreds, and seconds of work, which somebody could ask for again and again.
MOST_READINGS = 4
LETTERS = str.maketrans("@({[<!|$+%", "acccciistx")  # the digits that are left have four readings


def weakness(password: str, names: Sequence[str]) -> str | None:
    """Say what makes the password easy to guess for somebody who knows the names; else None."""
    from zxcvbn import feedback, matching, scoring, time_estimates

    known = {
        **matching.RANKED_DICTIONARIES,
        # zxcvbn() itself would put the names where it keeps them for the whole process, and they
        # would count in another thread as somebody else's.
        "user_inputs": matching.build_ranked_dict(_parts(names)),
    }
    looked_at = readable(password[:CODE_POINTS_LOOKED_AT])
    matches = matching.omnimatch(looked_at, known)
    found = scoring.most_guessable_match_sequence(looked_at, matches)
    score = time_estimates.guesses_to_score(Decimal(found["guesses"]))
    if score >= LEAST_SCORE:
        return None
    said = feedback.get_feedback(score, found["sequence"])
    return " ".join(line for line in (said["warning"], *said["suggestions"]) if line)


def readable(password: str) -> str:
    """Replace signs by the letters they stand for, where zxcvbn would have to try too many."""
    from zxcvbn.matching import L33T_TABLE

    readings = (sum(sign in password for sign in signs) for signs in L33T_TABLE.values())
    is_much = math.prod(max(1, number) for number in readings) > MOST_READINGS
    return password.translate(LETTERS) if is_much else password


@cache
def common_passwords() -> frozenset[str]:
    # Not before it is needed: the package's lists take 15 MB, and a fifth of a second.
    from zxcvbn.matching import RANKED_DICTIONARIES

    return frozenset(RANKED_DICTIONARIES["passwords"])


def _parts(names: Sequence[str]) -> list[str]:
    """List the names and the words in them, the product's name first."""
    words = [word for name in names for word in re.split(r"[\W_]+", name) if len(word) > 2]
    return [PRODUCT, *(name.lower() for name in (*names, *words))]
