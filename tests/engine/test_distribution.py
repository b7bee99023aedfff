"""Over many draws, the sampler's tokens follow the distribution that the contract describes: chi-square tests.

Seeds are fixed, so each result stands once and for all; the last test shows that a wrong distribution is noticed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from ensue.engine.sampler import Sampler
from ensue.engine.sequence import Sequence
from ensue.sampling_params import SamplingParams
from tests.engine.contract import kept_ids, processed_logits, sequence_of

Array = npt.NDArray[Any]
WIDTH, NUM_DRAWS = 24, 20_000
LOGITS = np.random.default_rng(7).normal(0.0, 1.2, WIDTH).astype(np.float32)
OUTPUT = (3, 3, 5, 3, 9, 14, 5)
PENALTIES = {"frequency_penalty": 0.4, "presence_penalty": 0.3, "repetition_penalty": 1.3}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "temperature": {"temperature": 0.6},
    "top_k": {"top_k": 9},
    "top_p": {"top_p": 0.8},
    "min_p": {"min_p": 0.1},
    "filters": {"temperature": 1.4, "min_p": 0.03, "top_k": 15, "top_p": 0.9},
    "bias": {"logit_bias": ((0, 2.0), (4, -100.0), (9, -1.5)), "temperature": 0.8},
    "penalties": PENALTIES,
    "penalties and filters": {**PENALTIES, "temperature": 0.7, "top_k": 12, "top_p": 0.95},
    "allowed": {"allowed_token_ids": tuple(range(0, WIDTH, 3)), "presence_penalty": -1.0},
    "bad words": {"bad_words_token_ids": ((5, 2), (1,), (3, 5, 7)), "min_p": 0.02},
    "everything": {
        **PENALTIES,
        "allowed_token_ids": tuple(range(20)),
        "bad_words_token_ids": ((5, 2), (14, 5, 0)),
        "logit_bias": ((3, 1.0), (11, 0.7)),
        "temperature": 1.2,
        "min_p": 0.02,
        "top_k": 14,
        "top_p": 0.97,
    },
}


def text_of(**settings: Any) -> Sequence:
    return sequence_of(SamplingParams(**settings), (1, 2, 3), OUTPUT, max_tokens=64)


def counts_of(sequence: Sequence) -> Array:
    """How often each token is drawn, the position alone being different."""
    row = sequence.sample_row()
    rows = [replace(row, seed=2026, position=position) for position in range(NUM_DRAWS)]
    tokens = Sampler().sample(torch.from_numpy(LOGITS).expand(NUM_DRAWS, -1), rows)
    return np.bincount([token.token_id for token in tokens], minlength=WIDTH)


def expectation(sequence: Sequence) -> Array:
    """Expected counts, by a full sort in float64."""
    sampling = sequence.request.sampling
    logits = processed_logits(LOGITS, sequence).astype(np.float64)
    kept = kept_ids(logits, sampling)
    weights = np.exp((logits[kept] - logits[kept].max()) / sampling.temperature)
    expected = np.zeros(WIDTH)
    expected[kept] = NUM_DRAWS * weights / weights.sum()
    return expected


def excess(counts: Array, expected: Array) -> float:
    """Chi-square over its 99.9 % quantile (Wilson and Hilferty's formula); infinite where the impossible was drawn."""
    possible = expected > 0
    if counts[~possible].any():
        return float("inf")
    freedom = possible.sum() - 1
    limit = freedom * (1 - 2 / (9 * freedom) + 3.0902 * (2 / (9 * freedom)) ** 0.5) ** 3
    return float((((counts - expected)[possible] ** 2) / expected[possible]).sum() / limit)


@pytest.mark.parametrize("settings", COMBINATIONS.values(), ids=list(COMBINATIONS))
def test_frequencies_follow_the_distribution_of_the_contract(settings: dict[str, Any]) -> None:
    sequence = text_of(**settings)
    counts, expected = counts_of(sequence), expectation(sequence)
    assert expected[expected > 0].min() > 5  # or the statistic is none
    assert excess(counts, expected) < 1


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 1.25},
        {"top_k": 13},
        {"top_p": 0.96},
        {"min_p": 0.15},
        {"frequency_penalty": 1.2},
        {"presence_penalty": 0.2},
        {"repetition_penalty": 1.0},
        {"logit_bias": ((3, 1.0), (11, 0.5))},
        {"bad_words_token_ids": ((14, 5, 0),)},
        {"allowed_token_ids": tuple(range(19))},
    ],
    ids=lambda other: "".join(other),
)
def test_a_distribution_that_is_wrong_in_one_setting_is_noticed(other: dict[str, Any]) -> None:
    everything = COMBINATIONS["everything"]
    assert excess(counts_of(text_of(**everything)), expectation(text_of(**{**everything, **other}))) > 1
