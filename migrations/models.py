"""The tables of both databases as the models declare them, all of which are imported here."""

from __future__ import annotations

from app.accounts.caller_models import ApiKey
from app.accounts.hold_models import Hold
from app.chat.models import Message
from app.chat.receipt_models import ErasureReceipt

MODELS = (ApiKey, Hold, Message, ErasureReceipt)
METADATA = {"user": ApiKey.metadata, "general": Message.metadata}
