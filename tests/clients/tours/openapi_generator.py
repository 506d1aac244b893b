"""A first tour with openapi-generator's client for Python, over urllib3 and pydantic."""

import json
import os
from uuid import UUID

from generated import ApiClient, ApiException, AuthApi, ChatApi, Configuration, ExportApi, MeApi
from generated.models import (
    ExportLine,
    Login,
    MessageEditContent,
    MessageLine,
    MessageRole,
    NewChatSession,
    NewMessage,
    NewMessages,
    Order,
    ProblemDetails,
)
from pydantic import ValidationError

NAME, PASSWORD = os.environ["NAME"], os.environ["PASSWORD"]
CONTENTS: list[str] = json.loads(os.environ["CONTENTS"])
client = ApiClient(Configuration(host=os.environ["BASE"]))


def problem(error: ApiException) -> ProblemDetails:
    assert isinstance(error.data, ProblemDetails)
    return error.data


def is_accepted(title: str | None) -> bool:
    try:
        return bool(NewChatSession(title=title))
    except ValidationError:
        return False


try:
    AuthApi(client).log_in(Login(username=NAME, password="wrong"))
except ApiException as error:
    wrong = problem(error)
token = AuthApi(client).log_in(Login(username=NAME, password=PASSWORD))
client.configuration.access_token = token.access_token
me = MeApi(client).get_me()

chat = ChatApi(client)
session = chat.create_chat_session(new_chat_session=NewChatSession(title=None))
texts = map(MessageEditContent, CONTENTS)  # it may also be a list of parts
first, *rest = [NewMessage(role=MessageRole.USER, content=text) for text in texts]
once = chat.create_message(session.id, first, idempotency_key="tour")
twice = chat.create_message(session.id, first, idempotency_key="tour")
try:
    chat.create_message(session.id, rest[0], idempotency_key="tour")
except ApiException as error:
    reused = problem(error)
chat.create_messages(session.id, NewMessages(messages=rest))

read: list[object] = []
pages = 0
after: str | None = None
while True:
    page = chat.list_messages(session.id, order=Order.ASC, limit=3, after=after)
    read += [message.content.actual_instance for message in page.items]
    pages += 1
    after = page.next
    if after is None:
        break

try:
    chat.get_chat_session(UUID(int=0))
except ApiException as error:
    missing = problem(error)

exported = ExportApi(client).export_me_without_preload_content()
lines = [ExportLine.from_json(line).actual_instance for line in exported.data.splitlines()]
left = AuthApi(client).log_out_with_http_info()

print(  # noqa: T201
    json.dumps(
        {
            "wrong": [wrong.status, wrong.title],
            "me": me.username,
            "accepted": [is_accepted(one) for one in (None, "Holiday", "x" * 256, "\0")],
            "once": once.id == twice.id,
            "reused": [reused.status, reused.errors[0].path],
            "pages": pages,
            "read": read,
            "missing": [missing.status, missing.title],
            "kinds": [line.type for line in lines],
            "said": [
                line.content.actual_instance for line in lines if isinstance(line, MessageLine)
            ],
            "left": left.status_code,
        }
    )
)
