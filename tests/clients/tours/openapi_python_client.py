"""A first tour with openapi-python-client's client, over httpx."""

import json
import os
from uuid import UUID

from generated import AuthenticatedClient, Client
from generated.api.auth import log_in, log_out
from generated.api.chat import (
    create_chat_session,
    create_message,
    create_messages,
    get_chat_session,
    list_messages,
)
from generated.api.export import export_me
from generated.api.me import get_me
from generated.models import (
    Account,
    AuditEventLine,
    ChatSession,
    ChatSessionLine,
    Login,
    LoginAddressLine,
    LoginToken,
    Message,
    MessageLine,
    MessagePage,
    MessageRole,
    NewChatSession,
    NewMessage,
    NewMessages,
    Order,
    ProblemDetails,
    UserLine,
)
from generated.types import UNSET, Unset

BASE, NAME, PASSWORD = os.environ["BASE"], os.environ["NAME"], os.environ["PASSWORD"]
CONTENTS: list[str] = json.loads(os.environ["CONTENTS"])
LINES = {
    "user": UserLine,
    "audit_event": AuditEventLine,
    "chat_session": ChatSessionLine,
    "message": MessageLine,
    "login_address": LoginAddressLine,
}

nobody = Client(BASE)
wrong = log_in.sync(client=nobody, body=Login(username=NAME, password="wrong"))
token = log_in.sync(client=nobody, body=Login(username=NAME, password=PASSWORD))
assert isinstance(wrong, ProblemDetails)
assert isinstance(token, LoginToken)
client = AuthenticatedClient(BASE, token.access_token)
me = get_me.sync(client=client)
assert isinstance(me, Account)

session = create_chat_session.sync(client=client, body=NewChatSession(title=None))
assert isinstance(session, ChatSession)


def append(message: NewMessage) -> Message | ProblemDetails | None:
    return create_message.sync(session.id, client=client, body=message, idempotency_key="tour")


first, *rest = [NewMessage(role=MessageRole.USER, content=content) for content in CONTENTS]
once, twice, reused = append(first), append(first), append(rest[0])
assert isinstance(once, Message)
assert isinstance(twice, Message)
assert isinstance(reused, ProblemDetails)
assert reused.errors
create_messages.sync(session.id, client=client, body=NewMessages(messages=rest))

read: list[str] = []
pages = 0
after: str | Unset | None = UNSET
while after is not None:
    page = list_messages.sync(session.id, client=client, order=Order.ASC, limit=3, after=after)
    assert isinstance(page, MessagePage)
    read += [message.content for message in page.items]
    after = page.next_
    pages += 1

missing = get_chat_session.sync(UUID(int=0), client=client)
assert isinstance(missing, ProblemDetails)

# Its functions know no NDJSON; its models read the lines.
exported = export_me.sync_detailed(client=client).content.splitlines()
lines = [LINES[line["type"]].from_dict(line) for line in map(json.loads, exported)]
left = log_out.sync_detailed(client=client)

print(  # noqa: T201
    json.dumps(
        {
            "wrong": [wrong.status, wrong.title],
            "me": me.username,
            "once": once.id == twice.id,
            "reused": [reused.status, reused.errors[0].path],
            "pages": pages,
            "read": read,
            "missing": [missing.status, missing.title],
            "kinds": [line.type_ for line in lines],
            "said": [line.content for line in lines if isinstance(line, MessageLine)],
            "left": left.status_code,
        }
    )
)
