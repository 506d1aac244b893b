"""The book of what clients asked for and were told: the databases must hold it in the end.

Names, titles and texts are each used by one request only, so that a row tells whose it is. What was
never acknowledged may be there or not, but only once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count

from tests.support.history import Rename
from tests.support.recorder import Recorder

numbers = count(1)


class Fate(Enum):
    STAYS = auto()
    UNSURE = auto()  # somebody began to delete it, and does not know yet
    GONE = auto()


@dataclass
class Conversation:
    """Asked for with this title; `recorder` holds its id and history once it is acknowledged."""

    title: str
    recorder: Recorder | None = None
    fate: Fate = Fate.STAYS

    def opened(self, session_id: str) -> None:
        self.recorder = Recorder("", "", session_id)
        self.recorder.history.renames.append(Rename(began=0, ended=0, title=self.title))


@dataclass
class Person:
    """Asked for under this name; `id` is known once they are acknowledged."""

    username: str
    id: str | None = None
    tenant_id: str | None = None
    is_blocked: bool | None = False  # None: nobody knows
    fate: Fate = Fate.STAYS
    conversations: list[Conversation] = field(default_factory=list[Conversation])

    @property
    def own_name(self) -> str:
        return self.username.rpartition("\\")[2]

    def open_ones(self) -> list[Recorder]:
        return [
            one.recorder
            for one in self.conversations
            if one.recorder and one.fate is Fate.STAYS and self.fate is Fate.STAYS
        ]

    def asks_for(self) -> Conversation:
        conversation = Conversation(f"conversation {next(numbers)}")
        self.conversations.append(conversation)
        return conversation


@dataclass
class Book:
    people: list[Person] = field(default_factory=list[Person])

    def asks_for(self, tenant: str, kind: str = "person") -> Person:
        person = Person(f"\\{tenant}\\{kind}-{next(numbers)}")
        self.people.append(person)
        return person

    def known(self, *fates: Fate) -> Iterator[Person]:
        """Those who were acknowledged."""
        return (one for one in self.people if one.id and one.fate in fates)

    def conversations(self) -> Iterator[tuple[Person, Conversation]]:
        return ((person, one) for person in self.people for one in person.conversations)
