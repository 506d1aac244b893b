"""An agent of OpenAI's SDK, with a tool, whose session is kept by the service."""

import asyncio
import json
import os
import sys
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from agents.memory import OpenAIConversationsSession
from openai import AsyncOpenAI
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
)


class Scripted(Model):
    """Thinks, calls the tool and answers, turn by turn; notes what it was given."""

    def __init__(self) -> None:
        self.given: list[list[dict[str, Any]]] = []

    async def get_response(self, system_instructions, input, *_, **__) -> ModelResponse:  # noqa: A002
        self.given.append(input)
        turn, last = len(self.given), input[-1]
        if last.get("type") == "function_call_output":
            words = f"It is {last['output']}."
            text = ResponseOutputText(type="output_text", text=words, annotations=[])
            said = ResponseOutputMessage(
                id=f"msg_said{turn}",
                type="message",
                role="assistant",
                status="completed",
                content=[text],
            )
            return ModelResponse([said], Usage(), None)
        thought = ResponseReasoningItem(
            id=f"rs_{turn}", type="reasoning", summary=[], encrypted_content="gA=="
        )
        call = ResponseFunctionToolCall(
            id=f"fc_{turn}",
            type="function_call",
            call_id=f"call_{turn}",
            name="weather",
            arguments='{"town": "Oslo"}',
            status="completed",
        )
        return ModelResponse([thought, call], Usage(), None)

    def stream_response(self, *_: Any, **__: Any):
        raise NotImplementedError


@function_tool
def weather(town: str) -> str:
    """The weather of a town."""
    return f"4 °C in {town}"


async def main() -> dict[str, object]:
    set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=os.environ["BASE"] + "/v1", api_key=os.environ["TOKEN"])
    session = OpenAIConversationsSession(openai_client=client)
    model = Scripted()
    agent = Agent(name="guide", model=model, tools=[weather])
    first = await Runner.run(agent, "Is it warm in Oslo?", session=session)
    second = await Runner.run(agent, "And now?", session=session)
    items = await session.get_items()
    popped = await session.pop_item()
    latest = await session.get_items(limit=2)
    await session.add_items([{"role": "user", "content": str(n)} for n in range(45)])
    many = await session.get_items()
    await session.clear_session()
    return {
        "said": [first.final_output, second.final_output],
        "types": [item.get("type", "message") for item in items],
        "thoughts": [item["id"] for item in items if item["type"] == "reasoning"],
        "second turn": [one.get("type", "message") for one in model.given[2]],
        "popped": popped["content"][0]["text"],
        "latest": [item["type"] for item in latest],
        "many": len(many),
        "after": await session.get_items(),
    }


sys.stdout.write(json.dumps(asyncio.run(main())))
