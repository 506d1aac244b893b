"""The tests whose words are most like those of a fault's place.

Many tests reach a place through HTTP or SQL alone, and mention no name of it; yet they speak of the
same things. Words are weighed as in any search: the fewer tests have one, the more it is worth, and
the likeness of two texts is the cosine between them (tf-idf, Salton and Buckley 1988).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.mutations.nearest import Definition, definitions, place_of

WORD = re.compile(r"[A-Z]?[a-z]{2,}")
Weights = dict[str, float]


def alike(root: Path, path: str, line: int) -> list[Definition]:
    """Order all tests by their likeness to the definition that has the line."""
    weights = _tests(root)
    rarity = _rarity(root)
    place = _weighed(_words(_text(root, place_of(root, path, line))), rarity)
    return sorted(weights, key=lambda test: -_cosine(place, weights[test]))


@cache
def _tests(root: Path) -> dict[Definition, Weights]:
    rarity = _rarity(root)
    return {test: _weighed(words, rarity) for test, words in _words_of_tests(root).items()}


@cache
def _words_of_tests(root: Path) -> dict[Definition, Counter[str]]:
    return {one: _words(_text(root, one)) for one in definitions(root) if one.is_test}


@cache
def _rarity(root: Path) -> Weights:
    tests = _words_of_tests(root)
    having = Counter(word for words in tests.values() for word in words)
    return {word: math.log(len(tests) / number) for word, number in having.items()}


def _text(root: Path, one: Definition) -> str:
    """Give its lines, after the name of its file and that file's first line."""
    lines = _lines(root / one.path)
    return "\n".join([re.sub(r"[/_.]", " ", one.path), lines[0], *lines[one.first - 1 : one.last]])


@cache
def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _words(text: str) -> Counter[str]:
    return Counter(word.lower().rstrip("s") for word in WORD.findall(text))


def _weighed(words: Counter[str], rarity: Weights) -> Weights:
    known = {word: math.log1p(n) * rarity[word] for word, n in words.items() if word in rarity}
    length = math.sqrt(sum(weight**2 for weight in known.values())) or 1.0
    return {word: weight / length for word, weight in known.items()}


def _cosine(one: Weights, other: Weights) -> float:
    return sum(weight * other.get(word, 0.0) for word, weight in one.items())


def in_turn(first: Iterable[Definition], second: Iterable[Definition]) -> list[Definition]:
    """Take one of each list after the other, and none twice."""
    return list(dict.fromkeys(one for pair in zip(first, second, strict=False) for one in pair))
