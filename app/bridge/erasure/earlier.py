"""A chain of receipts is compared with an earlier export of it, as after a restore.

A general database that was restored has lost the receipts written after its backup. Those written
from then on have the same numbers and other hashes: the chain forks. Whoever was erased again has a
receipt in the new branch, too; whoever has none there may be back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest

from app.bridge.erasure.receipts import (
    FIRST_PREV_HASH,
    BrokenChainError,
    Chain,
    EndsBeforeError,
    ReceiptLine,
    ReceiptLine1,
    checked,
)

EMPTY = Chain(0, FIRST_PREV_HASH)


@dataclass
class Comparison:
    """The first `agreed` receipts are the same in both; `missing` are the later ones of the earlier
    export whose users have no receipt in the chain now.
    """

    chain: Chain = EMPTY
    agreed: int = 0
    lost: int = 0
    missing: list[ReceiptLine] = field(default_factory=list[ReceiptLine])

    def check(self) -> None:
        """Raise EndsBeforeError unless the earlier export is the chain's beginning."""
        if not self.lost:
            return
        others = self.chain.receipts - self.agreed
        then = f"has {others} others since" if others else "ends there"
        raise EndsBeforeError(
            f"the chain is unbroken, agrees with the earlier export up to receipt {self.agreed} and"
            f" {then}: {self.lost} receipts were cut off, or the general database was restored from"
            f" a backup taken before them; users of {len(self.missing)} of them have no other"
            " receipt, so delete those who are back"
        )


def compare(lines: Iterable[bytes], earlier: Iterable[bytes]) -> Comparison:
    """Check both exports and compare them. Raises BrokenChainError for the first bad line."""
    found = Comparison()
    erased_since = set[str]()
    for now, then in zip_longest(checked(lines), _checked_earlier(earlier)):
        if now is not None:
            found.chain = Chain(now.seq, now.hash)
        if now is not None and then is not None and now.hash == then.hash:
            found.agreed += 1
            continue
        if now is not None:
            erased_since.add(now.user_id)
        if then is not None:
            found.lost += 1
            if is_erasure(then):
                found.missing.append(then)
    found.missing = [one for one in found.missing if one.user_id not in erased_since]
    return found


def is_erasure(line: ReceiptLine) -> bool:
    """Tell receipts of users from those of a retention, which name nobody."""
    return isinstance(line, ReceiptLine1) or line.kind == "erasure"


def _checked_earlier(lines: Iterable[bytes]) -> Iterable[ReceiptLine]:
    try:
        yield from checked(lines)
    except BrokenChainError as error:
        raise BrokenChainError(f"the earlier export: {error}") from None
