"""Fields combined two by two on the bundled model: what must hold of every answer, streamed or not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ensue.tiny
from ensue.text.tokenizer import Tokenizer
from tests.joined import Json, joined
from tests.pairs import Case, all_cases, all_pairs
from tests.product.server import Server

MAX_TOKENS = 12
BANNED = 11  # by logit_bias
PROMPTS = ["Once upon a time, there was", "The dog saw a"]
IDS = [Tokenizer.from_folder(Path(ensue.tiny.__file__).parent).encode(prompt) for prompt in PROMPTS]
STOPS = ["a", "the "]
FACTORS: dict[str, Sequence[Any]] = {
    "prompt": (PROMPTS, IDS),
    "n": (1, 3),
    "best_of": (None, 2, 4),
    "use_beam_search": (False, True),
    "echo": (False, True),
    "logprobs": (None, 0, 3),
    "suffix": (None, " and they went home."),
    "stops": ({}, {"stop": STOPS}, {"stop": STOPS, "include_stop_str_in_output": True}),
    "penalties": (
        {},
        {"frequency_penalty": 1.5, "presence_penalty": 0.5, "logit_bias": {str(BANNED): -100, "300": 5}},
        {"repetition_penalty": 1.3},
    ),
    "min_tokens": (0, 6),
    "stream": (False, True),
}


def wrong_fields(case: Case) -> set[str]:
    """The fields that the documentation refuses in this combination."""
    best_of = case["n"] if case["best_of"] is None else case["best_of"]
    wrong = set()
    if best_of < case["n"] or (case["stream"] and best_of > case["n"] and not case["use_beam_search"]):
        wrong.add("best_of")
    if case["suffix"] and case["prompt"] == IDS:
        wrong.add("suffix")
    if case["suffix"] and case["echo"] and case["logprobs"] is not None:
        wrong.add("logprobs")
    return wrong


def body_of(case: Case) -> Json:
    fields: Json = {name: value for name, value in case.items() if name not in ("stops", "penalties")}
    temperature = 0 if case["use_beam_search"] else 0.8
    more = {"max_tokens": MAX_TOKENS, "temperature": temperature, "seed": 5, "return_token_ids": True}
    return {**fields, **case["stops"], **case["penalties"], **more}


CASES = list(all_cases(FACTORS))
random.Random(0).shuffle(CASES)  # among equals, no value is preferred
LEGAL = [
    *all_pairs(case for case in CASES if not case["use_beam_search"] and not wrong_fields(case)),
    *all_pairs(case for case in CASES if case["use_beam_search"] and not wrong_fields(case)),
]
ILLEGAL = all_pairs(case for case in CASES if wrong_fields(case))


@pytest.mark.parametrize("case", LEGAL, ids=itertools.count())
def test_a_legal_combination_keeps_every_promise(server: Server, case: Case) -> None:
    answer = server.post(body_of(case | {"stream": False}))
    assert_counts(case, answer)
    for choice in answer["choices"]:
        assert_text(case, choice)
        assert_logprobs(case, choice)
    assert_ranked(case, answer["choices"])
    if not wrong_fields(case | {"stream": True}):
        *events, last = server.events(body_of(case) | {"stream": True, "stream_options": {"include_usage": True}})
        assert joined(events) == answer["choices"]
        assert last["usage"] | {"prompt_tokens_details": None} == answer["usage"] | {"prompt_tokens_details": None}


@pytest.mark.parametrize("case", ILLEGAL, ids=itertools.count())
def test_an_illegal_combination_is_refused(server: Server, case: Case) -> None:
    status, answer = server.answer(body_of(case))
    assert (status, answer["error"]["code"]) == (400, None)
    assert answer["error"]["param"] in wrong_fields(case)


def assert_counts(case: Case, answer: Json) -> None:
    choices, usage = answer["choices"], answer["usage"]
    assert [choice["index"] for choice in choices] == list(range(len(PROMPTS) * case["n"]))
    assert usage["prompt_tokens"] == sum(len(choice["prompt_token_ids"]) for choice in choices[:: case["n"]])
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    num_returned = sum(len(choice["token_ids"]) for choice in choices)
    num_samples = case["n"] if case["use_beam_search"] else case["best_of"] or case["n"]
    if num_samples == case["n"]:
        assert usage["completion_tokens"] == num_returned
    else:
        assert num_returned < usage["completion_tokens"] <= len(PROMPTS) * num_samples * MAX_TOKENS


def assert_text(case: Case, choice: Json) -> None:
    prompt = PROMPTS[choice["index"] // case["n"]]
    assert choice["text"].startswith(prompt) == case["echo"]
    completion = choice["text"].removeprefix(prompt)
    assert case["min_tokens"] <= len(choice["token_ids"]) <= MAX_TOKENS
    assert choice["finish_reason"] in ("stop", "length")
    if choice["finish_reason"] == "length":
        assert len(choice["token_ids"]) == MAX_TOKENS
    if case["stops"].get("include_stop_str_in_output"):
        assert choice["stop_reason"] is None or completion.endswith(choice["stop_reason"])
    elif case["stops"] and not case["min_tokens"]:
        assert not any(stop in completion for stop in STOPS)
    if "logit_bias" in case["penalties"]:
        assert BANNED not in choice["token_ids"]


def assert_logprobs(case: Case, choice: Json) -> None:
    logprobs, num_top = choice["logprobs"], case["logprobs"]
    assert (logprobs is None) == (num_top is None)
    if logprobs is None:
        return
    num_prompt = len(choice["prompt_token_ids"]) if case["echo"] else 0
    assert len({len(column) for column in logprobs.values()}) == 1
    num_shown = len(logprobs["tokens"]) - num_prompt
    is_cut = choice["stop_reason"] is not None
    assert num_shown == len(choice["token_ids"]) or (is_cut and 0 <= num_shown < len(choice["token_ids"]))
    assert [number is None for number in logprobs["token_logprobs"]] == [
        case["echo"] and i == 0 for i in range(num_prompt + num_shown)
    ]
    offsets = logprobs["text_offset"]
    first = 0 if case["echo"] else len(PROMPTS[choice["index"] // case["n"]])
    assert offsets == sorted(offsets)
    assert offsets[:1] in ([], [first])
    for name, number, top in zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True):
        assert number is None or (top[name] == number and 1 <= len(top) <= num_top + 1)


def assert_ranked(case: Case, choices: list[Json]) -> None:
    """By the mean of the numbers shown, where those are the numbers that rank."""
    is_raw = not (case["penalties"] or case["min_tokens"])
    is_ranked = is_raw if case["use_beam_search"] else (case["best_of"] or 0) > case["n"]
    if not is_ranked or case["stops"] or case["logprobs"] is None:
        return
    for start in range(0, len(choices), case["n"]):
        means = [mean_of(choice, case) for choice in choices[start : start + case["n"]]]
        assert all(later <= earlier + 1e-5 for earlier, later in itertools.pairwise(means))


def mean_of(choice: Json, case: Case) -> float:
    numbers = choice["logprobs"]["token_logprobs"][len(choice["prompt_token_ids"]) if case["echo"] else 0 :]
    return float(sum(numbers) / len(numbers))
