"""A person's key is unwrapped in its own row alone, under the master key that wrapped it."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from app.databases.sealing.master_keys import KeyUnavailableError, MasterKeys
from app.databases.sealing.person_keys import place

TENANT, USER = uuid4(), uuid4()
HERE = place("messages", TENANT, uuid4(), uuid4(), "sealed")
OLD, NEW = os.urandom(32), os.urandom(32)


def test_a_wrapped_key_is_unwrapped_as_long_as_its_master_key_is_known() -> None:
    wrapped = MasterKeys({"old": OLD}).new_key(TENANT, USER)
    sealed = MasterKeys({"old": OLD}).person_key(wrapped, TENANT, USER).seal(b"text", HERE)
    both = MasterKeys({"new": NEW, "old": OLD})
    again = both.rewrap(wrapped, TENANT, USER)

    assert (again.id, again.master_id) == (wrapped.id, "new")
    alone = MasterKeys({"new": NEW})
    assert alone.person_key(again, TENANT, USER).open(sealed, HERE) == b"text"
    with pytest.raises(KeyUnavailableError):
        alone.person_key(wrapped, TENANT, USER)
    with pytest.raises(KeyUnavailableError):
        MasterKeys({}).new_key(TENANT, USER)


@pytest.mark.parametrize(("tenant", "user"), [(uuid4(), USER), (TENANT, uuid4()), (USER, TENANT)])
def test_nobody_elses_row_unwraps_it(tenant: UUID, user: UUID) -> None:
    keys = MasterKeys({"old": OLD, "same": NEW})
    wrapped = keys.new_key(TENANT, USER)

    for other, whose in (
        (wrapped, (tenant, user)),
        (replace(wrapped, id=uuid4()), (TENANT, USER)),
        (replace(wrapped, master_id="same"), (TENANT, USER)),
        (replace(wrapped, wrapped=wrapped.wrapped[:10]), (TENANT, USER)),
        (replace(wrapped, wrapped=b""), (TENANT, USER)),
    ):
        with pytest.raises(KeyUnavailableError):
            keys.person_key(other, *whose)


def test_a_master_key_of_the_same_id_that_is_another_key_proves_nothing() -> None:
    proof = MasterKeys({"one": OLD}).proof("one")

    assert MasterKeys({"two": NEW, "one": OLD}).proves("one", proof)
    assert not MasterKeys({"one": NEW}).proves("one", proof)
    assert not MasterKeys({"two": OLD}).proves("one", proof)
    assert not MasterKeys({"two": OLD}).proves("two", proof)


def test_keys_are_not_shown() -> None:
    keys = MasterKeys({"one": OLD})

    assert repr(keys) == "MasterKeys(one)"
    assert "wrapped=" not in repr(keys.new_key(TENANT, USER))
