"""instructor: typed answers by JSON schema; whole, partial and many."""

from __future__ import annotations

import asyncio
import sys
from typing import Literal

import instructor
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, Field

MODEL = "ensue-tiny"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Bob is 7 years old and likes blue."}]


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=120)
    colour: Literal["blue", "red"]


def see_mode(url: str, mode: instructor.Mode) -> None:
    client = instructor.from_openai(OpenAI(base_url=url, max_retries=0), mode=mode)
    person = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, response_model=Person, temperature=0, max_retries=0
    )
    assert isinstance(person, Person)
    *_, last = client.chat.completions.create_partial(
        model=MODEL, messages=MESSAGES, response_model=Person, temperature=0, max_retries=0
    )
    assert last.model_dump() == person.model_dump()


async def see_async(url: str) -> None:
    client = instructor.from_openai(AsyncOpenAI(base_url=url, max_retries=0), mode=instructor.Mode.JSON_SCHEMA)
    person, answer = await client.chat.completions.create_with_completion(
        model=MODEL, messages=MESSAGES, response_model=Person, temperature=0, max_retries=0
    )
    assert isinstance(person, Person)
    assert answer.usage.completion_tokens > 0


if __name__ == "__main__":
    base_url = f"{sys.argv[1]}/v1"
    see_mode(base_url, instructor.Mode.JSON_SCHEMA)
    asyncio.run(see_async(base_url))
