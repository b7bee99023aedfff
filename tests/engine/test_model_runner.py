"""The whole engine over a real, tiny model: the tokens and log-probabilities of transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ensue.outputs import PROMPT
from tests.engine.tiny_engine import A, engine_of, request
from tests.engine.toy import run_to_end
from tests.model.checkpoints import Case, make

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("llama")
    return folder, make(folder, Case("llama"))


def test_greedy_tokens_are_those_of_transformers(checkpoint: tuple[Path, Any]) -> None:
    folder, model = checkpoint
    engine = engine_of(folder)
    asked = request(temperature=0.0, top_p=1.0)
    engine.add(A, asked)
    tokens = run_to_end(engine)[A, 0].token_ids
    ids = torch.tensor([asked.prompt_token_ids])
    expected = model.generate(ids, max_new_tokens=70, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert list(tokens) == expected[0, 70:].tolist()


def test_penalised_tokens_are_those_of_transformers(checkpoint: tuple[Path, Any]) -> None:
    """Repetition penalty, bad words (the second stands in the plain text, the third ends the prompt) and min_tokens."""
    folder, model = checkpoint
    plain = request(temperature=0.0, top_p=1.0)
    ids = torch.tensor([plain.prompt_token_ids])
    how: dict[str, Any] = {"do_sample": False, "max_new_tokens": 70, "pad_token_id": 0, "repetition_penalty": 1.3}
    first = model.generate(ids, **how, eos_token_id=None)[0].tolist()
    words = ((5,), tuple(first[80:82]), (*first[68:70], first[70]))
    end = first[74]
    expected = model.generate(ids, **how, bad_words_ids=[list(w) for w in words], eos_token_id=end, min_new_tokens=60)
    sampling = replace(plain.sampling, repetition_penalty=1.3, bad_words_token_ids=words)
    engine = engine_of(folder, num_blocks=4)
    engine.add(A, replace(plain, sampling=sampling, end_token_ids=(end,), min_tokens=60))
    outputs = run_to_end(engine)
    assert [list(outputs[A, i].token_ids) for i in range(2)] == [expected[0, 70:].tolist()] * 2
    assert expected[0].tolist() != first
    assert engine.stats().num_preemptions > 0  # two samples, room for one


def test_logprobs_are_those_of_transformers(checkpoint: tuple[Path, Any]) -> None:
    folder, model = checkpoint
    engine = engine_of(folder)
    engine.add(A, request())
    outputs = run_to_end(engine)
    ids = torch.tensor([[*request().prompt_token_ids, *outputs[A, 1].token_ids]])
    with torch.inference_mode():
        logprobs = model(ids).logits[0].log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
    scored, sampled = outputs[A, PROMPT].logprobs, outputs[A, 1].logprobs
    assert scored is not None
    assert sampled is not None
    assert (torch.tensor([*scored.chosen, *sampled.chosen]) - logprobs).abs().max() < 1e-4
