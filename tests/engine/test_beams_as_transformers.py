"""Beam search of the whole engine against transformers, on a random model in float32.

Without settings that change logits against `generate(num_beams=…)`; with them against the formulas of the order
of sampling over the logits of that model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ensue.build.worker import build_engine
from ensue.config import Config, EngineConfig
from ensue.engine.beam import BeamSearch
from ensue.engine.llm_engine import LLMEngine
from ensue.engine.rows import Candidates
from ensue.outputs import FinishReason, TokenOutput
from ensue.request import BeamParams, GenerationRequest
from ensue.sampling_params import SamplingParams
from tests.engine.toy import ends_at, run_to_end
from tests.model.checkpoints import Case, make

pytestmark = pytest.mark.usefixtures("one_thread")

A, END, PAD, MAX_TOKENS = (0, 1), 1, 12, 12
PROMPTS = ((3, 5, 7), (2, 9, 4, 4, 8, 6, 3), (10,), (11, 2, 5, 3))


@pytest.fixture(scope="module")
def model_and_engine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, LLMEngine]:
    """A vocabulary so small that the end token is often among the likeliest."""
    folder: Path = tmp_path_factory.mktemp("small")
    model = make(folder, Case("llama", {"vocab_size": 13}))
    config = EngineConfig(dtype="float32", max_num_seqs=8, threads=1, max_num_batched_tokens=64)
    return model, build_engine(folder, Config(engine=config), lambda phase, fraction: None)


def beams_of(engine: LLMEngine, prompt: tuple[int, ...], width: int, beam: BeamParams) -> list[TokenOutput]:
    request = GenerationRequest(
        "r", prompt, SamplingParams(), 0, MAX_TOKENS, num_samples=width, end_token_ids=(END,), num_logprobs=0, beam=beam
    )
    engine.add(A, request)
    outputs = run_to_end(engine)
    return [outputs[A, rank] for rank in range(width)]


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("width", [2, 4])
def test_beams_and_scores_are_those_of_transformers(
    model_and_engine: tuple[Any, LLMEngine], width: int, length_penalty: float, early_stopping: Any
) -> None:
    model, engine = model_and_engine
    for prompt in PROMPTS:
        found = beams_of(engine, prompt, width, BeamParams(width, length_penalty, early_stopping))
        expected = model.generate(
            torch.tensor([prompt]),
            num_beams=width,
            num_return_sequences=width,
            length_penalty=length_penalty,
            early_stopping=early_stopping,
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            eos_token_id=END,
            pad_token_id=PAD,
            return_dict_in_generate=True,
            output_scores=True,
        )
        texts = [row[len(prompt) :].tolist() for row in expected.sequences]
        for beam, text, score in zip(found, texts, expected.sequences_scores.tolist(), strict=True):
            assert list(beam.token_ids) == text[: len(beam.token_ids)]
            assert set(text[len(beam.token_ids) :]) <= {PAD}
            assert beam.beam_score == pytest.approx(score, abs=1e-4)
            assert (beam.finish_reason is FinishReason.STOP) == (beam.token_ids[-1] == END)


def test_the_end_token_ends_some_beams_at_various_lengths(model_and_engine: tuple[Any, LLMEngine]) -> None:
    """Else the comparison above would say little."""
    found = [beam for prompt in PROMPTS for beam in beams_of(model_and_engine[1], prompt, 4, BeamParams(4))]
    assert len({len(beam.token_ids) for beam in found if beam.finish_reason is FinishReason.STOP}) > 2
    assert any(beam.finish_reason is FinishReason.LENGTH for beam in found)


def test_a_score_is_the_sum_of_the_log_probabilities_where_no_setting_changes_logits(
    model_and_engine: tuple[Any, LLMEngine],
) -> None:
    for beam in beams_of(model_and_engine[1], PROMPTS[0], 3, BeamParams(3)):
        assert beam.logprobs is not None
        assert beam.beam_score == pytest.approx(sum(beam.logprobs.chosen) / len(beam.token_ids), abs=1e-12)


def processed(model: Any, prompt: tuple[int, ...], output: tuple[int, ...], request: GenerationRequest) -> Any:
    """Steps 2 to 6 in their order, as formulas: log-softmax, float64 [vocabulary]."""
    how, ids = request.sampling, (*prompt, *output)
    with torch.inference_mode():
        row = model(torch.tensor([ids])).logits[0, -1].numpy().astype(np.float64)
    if how.allowed_token_ids is not None:
        row[[i not in how.allowed_token_ids for i in range(len(row))]] = -np.inf
    banned = [word[-1] for word in how.bad_words_token_ids if ids[len(ids) - len(word) + 1 :] == word[:-1]]
    for token_id in (*banned, *((END,) if len(output) < request.min_tokens else ())):
        row[token_id] = -np.inf
    for token_id, bias in how.logit_bias:
        row[token_id] += bias if bias > -100 else -np.inf
    for token_id in set(ids):
        row[token_id] *= how.repetition_penalty ** (-1 if row[token_id] > 0 else 1)
    for token_id in output:
        row[token_id] -= how.frequency_penalty
    for token_id in set(output):
        row[token_id] -= how.presence_penalty
    return row - np.log(np.exp(row).sum())


def beams_by_formulas(model: Any, request: GenerationRequest) -> BeamSearch:
    assert request.beam is not None
    ending = frozenset((*request.end_token_ids, *request.stop_token_ids))
    search = BeamSearch(request.beam, ends_at(ending), request.max_tokens)
    while not search.is_done:
        found = []
        for beam in search.running:
            row = processed(model, request.prompt_token_ids, tuple(t.token_id for t in beam.tokens), request).tolist()
            kept = tuple(i for i, value in enumerate(row) if value > -float("inf"))
            found.append(Candidates(kept, tuple(row[i] for i in kept)))
        search.advance(found)
    return search


@pytest.mark.parametrize(
    ("sampling", "more"),
    [
        ({"logit_bias": ((END, 2.0), (4, -100.0))}, {}),
        ({"repetition_penalty": 1.4}, {}),
        ({"frequency_penalty": 0.5, "presence_penalty": 0.3}, {}),
        ({"allowed_token_ids": (END, 2, 3, 5)}, {}),
        ({"bad_words_token_ids": ((5,), (3, 7), (7, 2))}, {}),
        ({}, {"min_tokens": 6}),
        ({}, {"stop_token_ids": (4, 6)}),
        ({}, {"end_token_ids": ()}),
        ({"repetition_penalty": 1.2, "logit_bias": ((END, 5.0),), "bad_words_token_ids": ((2, 2),)}, {"min_tokens": 3}),
    ],
    ids=str,
)
def test_beams_are_ranked_by_what_the_settings_make_of_the_logits(
    model_and_engine: tuple[Any, LLMEngine], sampling: dict[str, Any], more: dict[str, Any]
) -> None:
    model, engine = model_and_engine
    fields: dict[str, Any] = {
        "end_token_ids": (END,),
        "num_samples": 4,
        "beam": BeamParams(4),
        "num_logprobs": 1,
    } | more
    request = GenerationRequest("r", PROMPTS[1], SamplingParams(**sampling), 0, MAX_TOKENS, **fields)
    engine.add(A, request)
    outputs = run_to_end(engine)
    for rank, beam in enumerate(beams_by_formulas(model, request).ended):
        assert outputs[A, rank].token_ids == tuple(token.token_id for token in beam.tokens)
        assert outputs[A, rank].beam_score == pytest.approx(beam.score, abs=1e-4)
        assert_raw(model, request.prompt_token_ids, outputs[A, rank])


def assert_raw(model: Any, prompt: tuple[int, ...], beam: TokenOutput) -> None:
    """The log-probabilities told are of the logits before any setting."""
    ids = torch.tensor([[*prompt, *beam.token_ids]])
    with torch.inference_mode():
        rows = model(ids).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
    assert beam.logprobs is not None
    chosen = rows.gather(1, ids[0, len(prompt) :, None])[:, 0]
    assert list(beam.logprobs.chosen) == pytest.approx(chosen.tolist(), abs=1e-4)
    assert [top[0] for top in beam.logprobs.top_ids] == rows.argmax(-1).tolist()
