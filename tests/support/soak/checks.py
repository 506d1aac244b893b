"""The databases hold what the clients were told: each promise is a check, as in history.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.support.history import Anomaly, Stored, anomalies
from tests.support.soak.book import Book, Conversation, Fate, Person
from tests.support.soak.replicas import Held
from tests.support.soak.state import State

# Of a replica to each database: the sessions' with their overflow, which stays for as long as
# nobody asks for less, the hot routes', the relay's workers', ear and sweeper, the breaker's.
MOST_CONNECTIONS = 2 * (5 + 10 + 5 + 4 + 2 + 1)


def findings(book: Book, state: State) -> list[Anomaly]:
    """None, if all the promises were kept."""
    found = [Anomaly(check.__name__, what) for check in CHECKS for what in check(book, state)]
    return found + list(_in_conversations(book, state))


def user_lost(book: Book, state: State) -> Iterator[str]:
    for person in book.known(Fate.STAYS):
        there = state.users.get(person.id or "")
        if there is None or (there.tenant_id, there.username) != (
            person.tenant_id,
            person.username,
        ):
            yield f"{person.username}, {person.id}: {there}"


def user_unknown(book: Book, state: State) -> Iterator[str]:
    """Acknowledged under another id, or asked for by nobody."""
    expected = {person.username: person for person in book.people}
    for user_id, user in state.users.items():
        person = expected.get(user.username)
        if person is None or person.id not in (None, user_id):
            yield f"{user.username}, {user_id}"


def block_lost(book: Book, state: State) -> Iterator[str]:
    for person in book.known(Fate.STAYS):
        there = state.users.get(person.id or "")
        if there and person.is_blocked not in (None, there.is_blocked):
            yield f"{person.username}: {there.is_blocked}"


def session_lost(book: Book, state: State) -> Iterator[str]:
    for person, conversation in book.conversations():
        if _stays(person, conversation):
            there = state.sessions.get(_id(conversation))
            if there is None or there.user_id != person.id:
                yield f"{conversation.title}, {_id(conversation)}: {there}"


def session_unknown(book: Book, state: State) -> Iterator[str]:
    """One that nobody asked for, or that was asked for once and is there twice."""
    known = {_id(one) for _, one in book.conversations() if one.recorder}
    unsure = {one.title for _, one in book.conversations() if one.recorder is None}
    titles = Counter(one.title for one in state.sessions.values())
    for session_id, session in state.sessions.items():
        if session_id not in known and (session.title not in unsure or titles[session.title] > 1):
            yield f"{session.title}, {session_id}, of {session.user_id}"


def session_there_again(book: Book, state: State) -> Iterator[str]:
    """Deleted by its owner, who was told so."""
    for _, conversation in book.conversations():
        if conversation.fate is Fate.GONE and _id(conversation) in state.sessions:
            yield _id(conversation)


def left_behind(book: Book, state: State) -> Iterator[str]:
    """Anything of somebody who was deleted."""
    for person in book.known(Fate.GONE):
        user_id = person.id or ""
        if user_id in state.users:
            yield f"{user_id} in users"
        yield from (
            f"{user_id} in {table}" for table, whose in state.bearing.items() if whose[user_id]
        )
        if (entry := state.ledger.get(user_id)) is None or entry.state != "deleted":
            yield f"{user_id} in the ledger: {entry}"
        if state.owners.get(user_id) != "erased":
            yield f"{user_id} among the owners: {state.owners.get(user_id)}"


def receipt_wrong(book: Book, state: State) -> Iterator[str]:
    """One for each who was deleted, as the ledger has it, and none for anybody else."""
    times = Counter(user_id for user_id, _ in state.receipts)
    receipts = dict(state.receipts)
    for person in book.known(Fate.GONE):
        user_id = person.id or ""
        entry = state.ledger.get(user_id)
        if times[user_id] != 1 or entry is None or entry.receipt != receipts[user_id]:
            yield f"{user_id}: {times[user_id]} receipts, the last {receipts.get(user_id)}; {entry}"
    for person in book.known(Fate.STAYS):
        if times[person.id or ""]:
            yield f"{person.id} was not deleted"


def pending(_: Book, state: State) -> Iterator[str]:
    for user_id, entry in state.ledger.items():
        if entry.is_pending:
            yield user_id


def orphan(_: Book, state: State) -> Iterator[str]:
    """A conversation of nobody, or messages of none."""
    for session_id, session in state.sessions.items():
        if session.user_id not in state.users:
            yield f"{session_id}, of {session.user_id}"
    for session_id in state.messages.keys() - state.sessions.keys():
        yield f"{len(state.messages[session_id])} messages of {session_id}"


def _in_conversations(book: Book, state: State) -> Iterator[Anomaly]:
    """Conversations that stay hold what was said; those that nobody knows of hold nothing."""
    for person, conversation in book.conversations():
        session = state.sessions.get(_id(conversation))
        if session and conversation.recorder and _stays(person, conversation):
            rows = state.messages[_id(conversation)]
            stored = Stored(rows, session.title, session.message_count)
            yield from anomalies(conversation.recorder.history, stored)
    known = {_id(one) for _, one in book.conversations()}
    for session_id in state.messages.keys() - known:
        yield Anomaly(
            "unknown_write", f"{len(state.messages[session_id])} messages in {session_id}"
        )


def _stays(person: Person, conversation: Conversation) -> bool:
    is_known = conversation.recorder is not None and person.id is not None
    return is_known and person.fate is Fate.STAYS and conversation.fate is Fate.STAYS


def _id(conversation: Conversation) -> str:
    return conversation.recorder.session_id if conversation.recorder else ""


def left_open(before: dict[str, Held], after: dict[str, Held]) -> list[str]:
    """Replicas hold nothing when everybody has gone that they did not hold before it began."""
    found: list[str] = []
    for name, held in after.items():
        if held.from_clients:
            found.append(f"{name}: {held.from_clients} connections of clients")
        if held.to_databases > MOST_CONNECTIONS:
            found.append(f"{name}: {held.to_databases} connections to databases")
        if held.others > before[name].others:
            found.append(f"{name}: {held.others} other descriptors, from {before[name].others}")
    return found


CHECKS = (
    *(user_lost, user_unknown, block_lost, session_lost, session_unknown, session_there_again),
    *(left_behind, receipt_wrong, pending, orphan),
)
