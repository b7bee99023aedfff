"""LlamaIndex: OpenAILike as completions and as a chat model; complete, chat, their streams, log-probabilities."""

from __future__ import annotations

import asyncio
import os
import sys

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.program import LLMTextCompletionProgram
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

MODEL = "ensue-tiny"
PROMPT = "Once upon a time"
ANSWER = "The capital of France is Paris."
MESSAGES = [ChatMessage(role=MessageRole.USER, content="What is the capital of France?")]


class Person(BaseModel):
    name: str
    age: int


def make(url: str, **options: object) -> OpenAILike:
    return OpenAILike(
        model=MODEL,
        api_base=url,
        api_key=os.environ["OPENAI_API_KEY"],
        context_window=1024,
        temperature=0,
        max_retries=0,
        **options,
    )


def see_completions(url: str) -> None:
    llm = make(url, is_chat_model=False, max_tokens=12)
    whole = llm.complete(PROMPT)
    assert whole.text
    assert whole.raw.usage.completion_tokens == 12
    events = list(llm.stream_complete(PROMPT))
    assert "".join(event.delta or "" for event in events) == whole.text
    assert events[-1].text == whole.text
    assert make(url, is_chat_model=False, max_tokens=12).chat(MESSAGES).message.content
    told = make(url, is_chat_model=False, max_tokens=12, logprobs=True, top_logprobs=2).complete(PROMPT).logprobs
    assert told is not None
    assert len(told) == 12


def see_chat(url: str) -> None:
    llm = make(url, is_chat_model=True)
    assert llm.chat(MESSAGES).message.content == ANSWER
    events = list(llm.stream_chat(MESSAGES))
    assert "".join(event.delta or "" for event in events) == ANSWER
    assert events[-1].message.content == ANSWER
    assert llm.complete("What is the capital of France?").text == ANSWER
    assert "".join(event.delta or "" for event in llm.stream_complete("What is the capital of France?")) == ANSWER


def see_structured_output(url: str) -> None:
    llm = make(
        url,
        is_chat_model=True,
        max_tokens=200,
        additional_kwargs={"extra_body": {"guided_json": Person.model_json_schema()}},
    )
    program = LLMTextCompletionProgram.from_defaults(
        output_cls=Person, llm=llm, prompt_template_str="Bob is 7 years old."
    )
    assert isinstance(program(), Person)


async def see_async(url: str) -> None:
    llm = make(url, is_chat_model=True)
    assert (await llm.achat(MESSAGES)).message.content == ANSWER
    deltas = [event.delta or "" async for event in await llm.astream_chat(MESSAGES)]
    assert "".join(deltas) == ANSWER
    completed = await make(url, is_chat_model=False, max_tokens=12).acomplete(PROMPT)
    assert completed.text


if __name__ == "__main__":
    base_url = f"{sys.argv[1]}/v1"
    for check in (see_completions, see_chat, see_structured_output):
        check(base_url)
    asyncio.run(see_async(base_url))
