"""A sequence: its intervals, where it ends, how its next token is to be chosen."""

from __future__ import annotations

from typing import Any

import pytest

from ensue.engine.rows import SampledToken
from ensue.engine.sequence import Sequence
from ensue.outputs import FinishReason
from tests.engine.toy import make_request

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH
PROMPT = (1, 2, 3)


def sequence_of(*, sample: int = 0, arrival: int = 0, **request: Any) -> Sequence:
    return Sequence((0, 1), make_request(PROMPT, **request), sample, arrival, 0.0)


def ends(token_ids: tuple[int, ...], max_model_len: int = 64, **request: Any) -> tuple[FinishReason | None, object]:
    sequence = sequence_of(**request)
    for token_id in token_ids:
        assert not sequence.is_finished
        sequence.append(SampledToken(token_id), max_model_len)
    return sequence.finish_reason, sequence.stop_token_id


@pytest.mark.parametrize(
    ("token_ids", "request_fields", "expected"),
    [
        ((7,), {}, (None, None)),
        ((7,), {"end_token_ids": (7,)}, (STOP, None)),
        ((7,), {"stop_token_ids": (7,)}, (STOP, 7)),
        ((7,), {"end_token_ids": (7,), "stop_token_ids": (7,)}, (STOP, None)),  # an end token comes first
        ((7, 8), {"max_tokens": 2}, (LENGTH, None)),
        ((7, 8), {"max_tokens": 2, "stop_token_ids": (8,)}, (STOP, 8)),  # the last allowed token may stop
        ((8, 7), {"min_tokens": 2, "end_token_ids": (8,)}, (None, None)),
        ((8, 7, 8), {"min_tokens": 2, "end_token_ids": (8,)}, (STOP, None)),
        ((8, 7), {"min_tokens": 2, "max_tokens": 2, "end_token_ids": (8,)}, (LENGTH, None)),
        ((8, 7), {"max_model_len": 5}, (LENGTH, None)),
        ((8, 7), {"max_model_len": 6}, (None, None)),
        ((9,), {"resumed_token_ids": (4, 5), "max_tokens": 3}, (LENGTH, None)),
    ],
)
def test_a_sequence_ends_where_its_request_says(
    token_ids: tuple[int, ...], request_fields: dict[str, Any], expected: tuple[FinishReason | None, int | None]
) -> None:
    assert ends(token_ids, **request_fields) == expected


def test_the_row_of_the_next_token_stands_at_its_absolute_position() -> None:
    sequence = sequence_of(sample=2, first_sample_index=10, resumed_token_ids=(4,), seed=5, num_logprobs=3)
    row = sequence.sample_row()
    assert (row.position, row.sample_index, row.seed, row.num_logprobs) == (4, 12, 5, 3)
    sequence.append(SampledToken(9), 64)
    assert sequence.sample_row().position == 5


def test_the_intervals_follow_what_was_computed_and_chosen() -> None:
    sequence = sequence_of(resumed_token_ids=(4,))
    assert (sequence.num_prompt_tokens, sequence.num_generated, sequence.num_to_compute) == (3, 1, 4)
    sequence.num_computed = 4
    sequence.append(SampledToken(9), 64)
    assert (sequence.num_tokens, sequence.num_generated, sequence.num_to_compute) == (5, 2, 1)


def test_service_is_by_priority_then_arrival_then_sample() -> None:
    late = sequence_of(arrival=3)
    urgent = sequence_of(arrival=4, priority=-1)
    pair = [sequence_of(arrival=2, sample=sample) for sample in (1, 0)]
    assert sorted([late, *pair, urgent], key=lambda s: s.key) == [urgent, pair[1], pair[0], late]


def test_an_heir_goes_on_where_the_one_before_stopped() -> None:
    leader, heir, other = (sequence_of(sample=sample) for sample in range(3))
    leader.block_table, leader.num_computed, leader.next_to_score, leader.scheduled_at = [4, 5], 2, 3, 1.5
    leader.block_hashes, leader.num_cached_tokens = (b"hash",), 0
    leader.siblings = [heir, other]
    heir.take_over(leader, [other])
    assert (heir.block_table, heir.num_computed, heir.next_to_score, heir.scheduled_at) == ([4, 5], 2, 3, 1.5)
    assert (heir.block_hashes, heir.num_cached_tokens) == ((b"hash",), 0)
    assert (leader.block_table, leader.siblings, heir.siblings) == ([], [], [other])
