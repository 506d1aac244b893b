"""JSON as texts, of every kind that may be sent, for comparing texts and not what they mean."""

from __future__ import annotations

import json
from random import Random

# Numbers that a float, or a 64-bit integer, does not hold; and equal ones that are written apart.
NUMBERS = [
    *("0", "-0", "-0.0", "1", "1.0", "1.00", "10e-1", "1E0", "1e+5", "0.1", "0.10"),
    *(
        "1e400",
        "-1E-400",
        "12345678901234567890123",
        "-9223372036854775809",
        "18446744073709551616",
    ),
    *("0.1000000000000000055511151231257827", "3.14159265358979323846264338327950288", "9" * 400),
]
# Escapes and characters, halves of surrogate pairs and U+0000 among them.
CHARACTERS = [
    *(r"\u0000", r"\u0001", r"\n", r"\r", r"\t", r"\b", r"\f", r"\"", r"\\", r"\/", "/", "'"),
    *(r"\u0041", r"\u00e9", r"\u00E9", "é", "e\u0301", "\u2028", "\x7f", "\ufeff", "\ufffd"),
    *(
        r"\ud83d\ude00",
        r"\uD83D\uDE00",
        "😀",
        r"\ud83d",
        r"\uDE00",
        r"\ud83d\ud83d",
        r"\ude00\ud83d",
    ),
    *(r"\\ud83d", "\U0010fffd", r"\udbff\udffd", "ud83d", "a", "z", " ", "<", "\u202e", "\uffff"),
]
SPACES = ["", "", "", " ", "\n", "\r\n", "\t", "  "]


def a_string(random: Random, most: int = 8) -> str:
    return f'"{"".join(random.choices(CHARACTERS, k=random.randint(0, most)))}"'


def a_value(random: Random, depth: int = 4) -> str:
    kind = random.randrange(7 if depth else 4)
    if kind == 0:
        return random.choice(NUMBERS)
    if kind == 1:
        return random.choice(["true", "false", "null"])
    if kind < 4:
        return a_string(random)
    if kind < 6:
        return an_object(random, [], depth)
    items = [a_value(random, depth - 1) for _ in range(random.randrange(4))]
    return _joined(random, "[]", items)


def an_object(random: Random, members: list[tuple[str, str]], depth: int = 4) -> str:
    """Write an object with these members, in any place, and others; a key may come twice."""
    pairs = [f"{json.dumps(key)}{space(random)}:{value}" for key, value in members]
    for _ in range(random.randrange(4)):
        others = f"{a_string(random)}:{space(random)}{a_value(random, depth - 1)}"
        pairs.insert(random.randint(0, len(pairs)), others)
    return _joined(random, "{}", pairs)


def space(random: Random) -> str:
    return random.choice(SPACES)


def _joined(random: Random, around: str, items: list[str]) -> str:
    inside = ",".join(f"{space(random)}{item}{space(random)}" for item in items)
    return f"{around[0]}{inside}{around[1]}"
