"""LangChain: its completions and its chat model; invoke, batch, stream, log-probabilities, structured output."""

from __future__ import annotations

import asyncio
import sys

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.prompts import PromptTemplate
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel

MODEL = "ensue-tiny"
PROMPTS = ["Once upon a time", "The dog", "One day, a girl"]
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


class Person(BaseModel):
    name: str
    age: int


def see_completions(url: str) -> None:
    llm = OpenAI(base_url=url, model=MODEL, temperature=0, max_retries=0, max_tokens=12)
    single = [llm.invoke(prompt) for prompt in PROMPTS]
    assert all(single)
    assert llm.batch(PROMPTS) == single
    result = llm.generate(PROMPTS)  # one request; its choices are cut by their place in the list
    assert [choices[0].text for choices in result.generations] == single
    assert result.llm_output is not None
    assert result.llm_output["token_usage"]["completion_tokens"] == 12 * len(PROMPTS)
    assert "".join(llm.stream(PROMPTS[0])) == single[0]
    chain = PromptTemplate.from_template("Once upon {what}") | llm
    assert chain.invoke({"what": "a time"}) == single[0]


def see_choices(url: str) -> None:
    llm = OpenAI(base_url=url, model=MODEL, n=2, best_of=3, seed=1, max_tokens=8, logprobs=2, max_retries=0)
    result = llm.generate(PROMPTS)
    assert [len(choices) for choices in result.generations] == [2, 2, 2]
    for choices in result.generations:
        for choice in choices:
            assert choice.generation_info is not None
            assert choice.generation_info["finish_reason"] in ("stop", "length")
            assert len(choice.generation_info["logprobs"]["tokens"]) <= 8
    stopped = OpenAI(base_url=url, model=MODEL, temperature=0, max_retries=0).invoke("Once upon a time", stop=[" a"])
    assert " a" not in stopped


def see_extensions(url: str) -> None:
    """Fields that OpenAI doesn't have, as VLLMOpenAI sends them."""
    llm = OpenAI(
        base_url=url,
        model=MODEL,
        temperature=0,
        max_tokens=8,
        max_retries=0,
        extra_body={"guided_choice": ["yes", "no"], "top_k": 5, "repetition_penalty": 1.1},
    )
    assert llm.invoke("Is the sky blue? Answer yes or no:") in ("yes", "no")


def see_chat(url: str) -> None:
    chat = ChatOpenAI(base_url=url, model=MODEL, temperature=0, max_retries=0)
    message = chat.invoke([SystemMessage("You are helpful."), HumanMessage(QUESTION)])
    assert isinstance(message, AIMessage)
    assert message.content
    assert message.usage_metadata is not None
    assert (
        message.usage_metadata["total_tokens"]
        == message.usage_metadata["input_tokens"] + (message.usage_metadata["output_tokens"])
    )
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["model_name"] == MODEL
    assert [answer.content for answer in chat.batch([QUESTION, QUESTION])] == [ANSWER, ANSWER]
    with_logprobs = chat.bind(logprobs=True, top_logprobs=2).invoke(QUESTION)
    told = with_logprobs.response_metadata["logprobs"]["content"]
    assert "".join(entry["token"] for entry in told[:-1]) == ANSWER
    assert {len(entry["top_logprobs"]) for entry in told} == {2}


def see_chat_stream(url: str) -> None:
    chat = ChatOpenAI(base_url=url, model=MODEL, temperature=0, max_retries=0, stream_usage=True)
    whole: AIMessageChunk | None = None
    for chunk in chat.stream(QUESTION):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.content == ANSWER
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    assert whole.response_metadata["finish_reason"] == "stop"


def see_structured_output(url: str) -> None:
    chat = ChatOpenAI(base_url=url, model=MODEL, temperature=0, seed=1, max_tokens=200, max_retries=0)
    person = chat.with_structured_output(Person, method="json_schema").invoke("Bob is 7 years old.")
    assert isinstance(person, Person)
    loose = chat.with_structured_output(None, method="json_mode").invoke("Say something in JSON.")
    assert isinstance(loose, dict)


async def see_async(url: str) -> None:
    chat = ChatOpenAI(base_url=url, model=MODEL, temperature=0, max_retries=0)
    assert (await chat.ainvoke(QUESTION)).content == ANSWER
    assert "".join([str(chunk.content) async for chunk in chat.astream(QUESTION)]) == ANSWER


if __name__ == "__main__":
    base_url = f"{sys.argv[1]}/v1"
    for check in (see_completions, see_choices, see_extensions, see_chat, see_chat_stream, see_structured_output):
        check(base_url)
    asyncio.run(see_async(base_url))
