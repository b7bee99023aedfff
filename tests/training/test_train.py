"""The training loop's parts: stream, schedule, limits and checkpoint names."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from training import train
from training.evaluate import FIM_KINDS, fim_examples
from training.model import build, export, load, token
from training.tokenizer import EOS
from training.train import Limits, Progress, Stream, batches, learning_rate

TOKENIZER = Path(__file__).parents[2] / "ensue" / "tiny" / "tokenizer.json"


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    monkeypatch.setattr(train, "SHARD_DOCUMENTS", 120)
    return Stream(Tokenizer.from_file(str(TOKENIZER)))


def test_stream_resumed_goes_on_where_it_was(stream: Stream) -> None:
    stream.take(1000)
    resumed = Stream(Tokenizer.from_file(str(TOKENIZER)), stream.shard, stream.offset)
    assert np.array_equal(stream.take(1000), resumed.take(1000))


def test_stream_goes_on_with_the_next_shard(stream: Stream) -> None:
    while not stream.shard:
        stream.take(2000)
    assert stream.offset == 2000


def test_stream_separates_documents_by_end_of_text(stream: Stream) -> None:
    taken = stream.take(4000)
    ends = np.flatnonzero(taken[:-1] == token(EOS))
    assert len(ends) > 5
    assert (taken[ends + 1] == 0).all()


def test_batches_targets_are_the_inputs_one_later(stream: Stream) -> None:
    inputs, targets, weights = next(batches(stream, 2))
    assert inputs.shape == targets.shape == weights.shape == (4, 1024)
    assert (inputs.flatten()[1:] == targets.flatten()[:-1]).all()


def test_target_weights_are_larger_in_middles_only() -> None:
    bos, end, middle = token("<|begin_of_text|>"), token(EOS), token("<|fim_middle|>")
    tokens = np.array([bos, 9, middle, 9, 9, 9, 9, end, bos, 9])
    edge, inside = train.EDGE_WEIGHT, train.MIDDLE_WEIGHT
    assert train.target_weights(tokens[:-1], tokens[1:]).tolist() == [1, 1, edge, edge, inside, inside, edge, 1, 1]


@pytest.mark.parametrize(("fraction", "share"), [(0.0, 0.0), (0.01, 1.0), (0.505, 0.5), (1.0, 0.0), (1.2, 0.0)])
def test_learning_rate_rises_then_falls_to_zero(fraction: float, share: float) -> None:
    assert learning_rate(fraction) == pytest.approx(train.PEAK * share, abs=1e-9)


def test_a_run_may_begin_with_exported_weights(tmp_path: Path) -> None:
    weights = {name: value.to(torch.bfloat16).float() for name, value in build().state_dict().items()}
    export(weights, tmp_path)
    loaded = load(tmp_path).state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def test_limits_take_the_larger_fraction() -> None:
    now = time.time()
    assert Limits(100, now + 1000).fraction(Progress(started=now, tokens=50)) == pytest.approx(0.5)
    assert Limits(100, now + 10).fraction(Progress(started=now - 90, tokens=50)) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("kind", FIM_KINDS)
def test_fim_examples_have_an_answer(kind: str) -> None:
    assert all(example.answer.strip() for example in fim_examples(kind, 20))
