"""DSPy: Predict with a typed signature over our chats."""

from __future__ import annotations

import os
import sys

import dspy

MODEL = "ensue-tiny"
FRAMED = r"\[\[ ## is_animal ## \]\]\n(True|False)\n\n\[\[ ## completed ## \]\]"


class Sort(dspy.Signature):  # type: ignore[misc]
    """Is the sentence about an animal?"""

    sentence: str = dspy.InputField()
    is_animal: bool = dspy.OutputField()


class OwnLM(dspy.LM):  # type: ignore[misc]
    """DSPy asks litellm's list of models for what a server can do; ours is not on it."""

    supports_response_schema = True
    supported_params = frozenset({"response_format", "temperature", "max_tokens", "n", "seed", "stop"})


def make(url: str, **options: object) -> dspy.LM:
    return OwnLM(
        f"openai/{MODEL}",
        api_base=url,
        api_key=os.environ["OPENAI_API_KEY"],
        temperature=0,
        cache=False,
        num_retries=0,
        **options,
    )


def see_texts(url: str) -> None:
    chat = make(url, max_tokens=40)
    assert chat("What is the capital of France?") == ["The capital of France is Paris."]
    assert chat.history[-1]["usage"]["completion_tokens"] > 0
    several = make(url, max_tokens=8, n=3)("Say something.")
    assert len(several) == 3


def see_predict(url: str) -> None:
    """The model is far too small for DSPy's prompts: the schema, or our regex, does the work."""
    by_schema = (make(url, max_tokens=200), dspy.JSONAdapter())
    by_regex = (make(url, max_tokens=100, extra_body={"guided_regex": FRAMED}), dspy.ChatAdapter())
    for lm, adapter in (by_schema, by_regex):
        with dspy.context(lm=lm, adapter=adapter):
            assert isinstance(dspy.Predict(Sort)(sentence="The dog barked.").is_animal, bool)


if __name__ == "__main__":
    base_url = f"{sys.argv[1]}/v1"
    see_texts(base_url)
    see_predict(base_url)
