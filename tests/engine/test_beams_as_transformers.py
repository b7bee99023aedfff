"""Beam search of the whole engine against `generate(num_beams=…)` of transformers, on random models in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ensue.build.worker import build_engine
from ensue.config import Config, EngineConfig
from ensue.engine.llm_engine import LLMEngine
from ensue.outputs import FinishReason, TokenOutput
from ensue.request import BeamParams, GenerationRequest
from ensue.sampling_params import SamplingParams
from tests.engine.toy import run_to_end
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
