"""What becomes of tokens on the bundled model: ranked samples, filled gaps, scored prompts, cut texts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.product.server import Server

STORY = {"prompt": "Once upon a time, there was", "max_tokens": 12, "seed": 7}


def test_best_of_chooses_among_the_samples_that_n_would_return(server: Server) -> None:
    samples = server.post({**STORY, "n": 5, "logprobs": 0})["choices"]
    answer = server.post({**STORY, "n": 2, "best_of": 5, "logprobs": 0})
    means = [sum(s["logprobs"]["token_logprobs"]) / len(s["logprobs"]["tokens"]) for s in samples]
    ranked = sorted(range(5), key=lambda i: -means[i])
    assert answer["choices"] == [{**samples[i], "index": rank} for rank, i in enumerate(ranked[:2])]
    assert answer["usage"]["completion_tokens"] == sum(len(s["logprobs"]["tokens"]) for s in samples)


@pytest.mark.parametrize(
    ("prompt", "suffix"),
    [("def add(a, b):\n    return", " b\n"), ("Once upon a time there was a little girl named", " who loved to play.")],
)
def test_a_gap_is_filled_by_a_middle_that_ends_by_itself(server: Server, prompt: str, suffix: str) -> None:
    body: dict[str, Any] = {"prompt": prompt, "suffix": suffix, "temperature": 0, "max_tokens": 40}
    (choice,) = server.post(body)["choices"]
    assert choice["text"]
    assert "<|" not in choice["text"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", None)
    (echoed,) = server.post({**body, "echo": True, "stop": [choice["text"][-1]]})["choices"]
    assert echoed["text"].startswith(prompt)
    assert echoed["stop_reason"] == choice["text"][-1]


def test_a_gap_is_the_same_prompt_as_its_sentinels(server: Server) -> None:
    more = {"max_tokens": 8, "temperature": 0, "return_token_ids": True}
    gap = server.post({"prompt": "a = 1\nb =", "suffix": "\nc = 3", **more})
    written = server.post({"prompt": "<|fim_prefix|>a = 1\nb =<|fim_suffix|>\nc = 3<|fim_middle|>", **more})
    assert gap["choices"] == written["choices"]
    assert {**gap["usage"], "prompt_tokens_details": None} == {**written["usage"], "prompt_tokens_details": None}


def test_both_ways_to_score_a_prompt_tell_the_same_numbers(server: Server) -> None:
    body = {"prompt": "The cat sat on the mat 🙂", "max_tokens": 1, "echo": True, "logprobs": 2, "prompt_logprobs": 3}
    (choice,) = server.post({**body, "return_token_ids": True})["choices"]
    maps, ids, entries = choice["prompt_logprobs"], choice["prompt_token_ids"], choice["logprobs"]
    assert len(maps) == len(ids) == len(entries["tokens"]) - 1
    assert maps[0] is entries["token_logprobs"][0] is None
    for token_map, token_id, number in zip(maps[1:], ids[1:], entries["token_logprobs"][1:], strict=False):
        assert token_map[str(token_id)]["logprob"] == number
        assert [entry["rank"] for entry in token_map.values()][:3] == [1, 2, 3]


def test_a_stop_string_cuts_the_text_but_not_the_ids(server: Server) -> None:
    body = {**STORY, "temperature": 0, "return_token_ids": True, "logprobs": 0}
    (whole,) = server.post(body)["choices"]
    word = whole["logprobs"]["tokens"][5]
    (cut,) = server.post({**body, "stop": [word]})["choices"]
    (kept,) = server.post({**body, "stop": [word], "include_stop_str_in_output": True})["choices"]
    assert (cut["text"] + word, cut["stop_reason"]) == (kept["text"], word)
    assert cut["token_ids"] == kept["token_ids"] == whole["token_ids"][: len(cut["token_ids"])]
    assert "".join(kept["logprobs"]["tokens"]).startswith(kept["text"])
    (late,) = server.post({**body, "stop": [word], "min_tokens": len(cut["token_ids"])})["choices"]
    assert len(late["token_ids"]) > len(cut["token_ids"])
