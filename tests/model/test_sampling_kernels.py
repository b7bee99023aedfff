"""The sampling kernels against plain NumPy references, tie by tie and bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.model.kernels.philox import philox, uniform
from ensue.model.kernels.sampling import DRAW, choose_tokens, log_probabilities
from ensue.model.kernels.vocabulary import NOT_FINITE
from ensue.model.kernels.weights import weigh

Array = npt.NDArray[Any]
INF = float("inf")


@dataclass(frozen=True)
class Settings:
    temperature: float = 1.0
    min_p: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0


def choose(logits: Array, how: Settings, seeds: Array | int = 0, positions: Array | int = 0) -> Array:
    """Every row of `logits` by the same settings: int64 [rows]."""
    rows, width = logits.shape
    chosen = np.empty(rows, np.int64)
    temperature, min_p, top_p = (np.full(rows, x) for x in (how.temperature, how.min_p, how.top_p))
    top_k, sample_index = np.full(rows, how.top_k or width), np.zeros(rows, np.int64)
    seed, position = (np.broadcast_to(x, rows).astype(np.int64) for x in (seeds, positions))
    bits, copies = logits.view(np.int32), np.full(rows, -1)
    choose_tokens(
        logits,
        bits,
        logits[:0],
        bits[:0],
        copies,
        temperature,
        min_p,
        top_k,
        top_p,
        seed,
        sample_index,
        position,
        chosen,
    )
    return chosen


def log_probs(logits: Array, targets: Array, k: int) -> tuple[Array, Array, Array, Array]:
    n = len(targets)
    chosen, rank = np.empty((n, 1)), np.empty((n, 1), np.int64)
    top_ids, top = np.empty((n, k), np.int64), np.empty((n, k))
    log_probabilities(logits, logits.view(np.int32), np.arange(n), targets[:, None], chosen, rank, top_ids, top)
    return chosen[:, 0], rank[:, 0], top_ids, top


def order(row: Array) -> Array:
    """Ids by (logit descending, id ascending)."""
    return np.lexsort((np.arange(row.size), -row))


def kept_ids(row: Array, how: Settings) -> Array:
    """Steps 8 to 10 as spec says them, with a full sort; ids ascending."""
    weights = np.exp((row.astype(np.float64) - row.max()) / how.temperature)
    ids = order(row)
    ids = ids[weights[ids] >= how.min_p][: how.top_k]
    if how.top_p < 1:
        mass = np.cumsum(weights[ids])
        ids = ids[: np.argmax(mass >= how.top_p * mass[-1] * (1 - 1e-12)) + 1]
    return np.sort(ids)


def reference(row: Array, how: Settings, noise: float) -> int:
    """The kept ids on a line, ascending; the one in which the point falls."""
    ids = kept_ids(row, how)
    ends = np.cumsum(np.exp((row[ids].astype(np.float64) - row.max()) / how.temperature))
    return int(ids[np.searchsorted(ends, noise * ends[-1], side="right")])


@pytest.fixture
def threads() -> Iterator[None]:
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # the authors' known answers, Random123 kat_vectors
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_words(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    assert tuple(philox(*(np.uint64(word) for word in counter + key))) == words


def test_uniform_is_53_bits_of_the_first_two_words() -> None:
    low, high, _, _ = philox(*(np.uint64(word) for word in (3, 7, DRAW, 0, 5, ONES)))
    assert uniform(-(2**32) + 5, 3, 7, DRAW) == ((int(high) << 32 | int(low)) >> 11) / 2**53


@pytest.mark.parametrize("other", [(8, 0, 0), (7, 1, 0), (7, 0, 1), (-7, 0, 0), (7 - 2**63, 0, 0)])
def test_uniform_differs_in_each_argument(other: tuple[int, int, int]) -> None:
    assert uniform(*other, DRAW) != uniform(7, 0, 0, DRAW)


logit = st.sampled_from([-INF, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 2.5, 4.0]) | st.floats(-30, 30, width=32)
rows = st.lists(logit, min_size=1, max_size=300).filter(lambda row: max(row) > -INF)
hows = st.builds(
    Settings,
    temperature=st.sampled_from([1.0, 0.5, 0.7, 1.3, 2.0]),
    min_p=st.sampled_from([0.0, 0.0, 0.02, 0.25, 1.0]),
    top_k=st.none() | st.integers(1, 310),
    top_p=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99, 1.0, 1.0]),
)


@given(row=rows, how=hows, seed=st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=300, deadline=None)
def test_choice_equals_the_reference_for_small_rows_with_ties(row: list[float], how: Settings, seed: int) -> None:
    logits = np.array([row], np.float32)
    assert choose(logits, how, seed)[0] == reference(logits[0], how, uniform(seed, 0, 0, DRAW))


@given(row=rows)
@settings(deadline=None)
def test_temperature_0_takes_the_lowest_id_of_the_largest_logits(row: list[float]) -> None:
    logits = np.array([row], np.float32)
    assert choose(logits, Settings(temperature=0.0))[0] == np.argmax(logits[0])


TIED = np.array([-1.0, 0.0, -0.0, -2.0, 0.0, -2.0], np.float32)  # weights 0.37, 1, 1, 0.14, 1, 0.14; mass 3.64


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        (Settings(), {0, 1, 2, 3, 4, 5}),
        (Settings(top_k=2), {1, 2}),
        (Settings(top_k=5), {0, 1, 2, 3, 4}),
        (Settings(top_p=0.0), {1}),
        (Settings(top_p=0.27), {1}),
        (Settings(top_p=0.28), {1, 2}),
        (Settings(top_p=0.83), {0, 1, 2, 4}),
        (Settings(top_p=0.93), {0, 1, 2, 3, 4}),
        (Settings(min_p=0.36), {0, 1, 2, 4}),
        (Settings(min_p=1.0), {1, 2, 4}),
        (Settings(top_k=3, top_p=0.66), {1, 2}),  # top_p counts what top_k left
        (Settings(top_k=3, top_p=0.67), {1, 2, 4}),
        (Settings(min_p=0.36, top_p=0.9), {0, 1, 2, 4}),  # and what min_p left
    ],
)
def test_filters_keep_the_lowest_ids_of_a_tie(how: Settings, kept: set[int]) -> None:
    assert set(choose(np.tile(TIED, (400, 1)), how, positions=np.arange(400)).tolist()) == kept


@pytest.mark.parametrize(("top_p", "num_kept"), [(0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4)])
def test_top_p_needs_no_more_than_exactly_its_mass(top_p: float, num_kept: int) -> None:
    chosen = choose(np.zeros((100, 4), np.float32), Settings(top_p=top_p), positions=np.arange(100))
    assert set(chosen.tolist()) == set(range(num_kept))


CHI_SQUARE_LIMIT = {3: 16.3, 7: 24.3, 15: 37.7}  # degrees of freedom → 99.9 % quantile


@pytest.mark.parametrize(
    ("how", "freedom"),
    [
        (Settings(), 15),
        (Settings(temperature=0.6), 15),
        (Settings(top_k=8), 7),
        (Settings(temperature=1.5, top_k=4), 3),
    ],
)
def test_frequencies_follow_the_distribution(how: Settings, freedom: int) -> None:
    row = np.linspace(1.0, -1.0, 16, dtype=np.float32)
    draws = 20_000
    counts = np.bincount(choose(np.tile(row, (draws, 1)), how, 123, np.arange(draws)), minlength=16)
    kept = kept_ids(row, how)
    weights = np.exp(row[kept].astype(np.float64) / how.temperature)
    expected = draws * weights / weights.sum()
    assert counts.sum() == counts[kept].sum() == draws
    assert len(kept) == freedom + 1
    assert ((counts[kept] - expected) ** 2 / expected).sum() < CHI_SQUARE_LIMIT[freedom]


@pytest.fixture(scope="module")
def wide() -> Array:
    """Peaked, flat, long-tailed, tied and half-banned rows of a large vocabulary: float32 [5, 150_001]."""
    random = np.random.default_rng(5)
    logits = random.standard_normal((5, 150_001)).astype(np.float32)
    logits[0] *= 0.01
    logits[1, ::1500] += 9
    logits[2] *= 4
    logits[3] = np.round(logits[3] * 2) / 2
    logits[4, 1::2] = -INF
    return logits


@pytest.mark.parametrize(
    "how",
    [
        Settings(),
        Settings(temperature=1e-30),
        Settings(top_k=50),
        Settings(top_k=5000),
        Settings(top_k=149_999),
        Settings(top_p=0.9),
        Settings(temperature=2.0, top_p=0.999),
        Settings(min_p=0.05, top_k=2000, top_p=0.95),
    ],
)
def test_choice_equals_a_full_sort_for_a_large_vocabulary(wide: Array, how: Settings) -> None:
    chosen = choose(wide, how, 11, np.arange(5))
    assert chosen.tolist() == [reference(row, how, uniform(11, 0, i, DRAW)) for i, row in enumerate(wide)]


def test_a_row_alone_equals_the_row_in_a_batch_on_any_number_of_threads(wide: Array, threads: None) -> None:
    how, ids = Settings(temperature=0.8, top_p=0.95), np.arange(5)
    together = [choose(wide, how, 1, ids), *log_probs(wide, ids, 5)]
    numba.set_num_threads(1)
    for i, row in enumerate(wide):
        alone = [choose(row[None].copy(), how, 1, i), *log_probs(row[None].copy(), ids[i : i + 1], 5)]
        assert all(part.tobytes() == whole[i : i + 1].tobytes() for part, whole in zip(alone, together, strict=True))


def test_log_probabilities_equal_a_full_sort(wide: Array) -> None:
    targets = np.array([0, 1500, 3, 4, 2])
    chosen, rank, top_ids, top = log_probs(wide, targets, 20)
    for i, row in enumerate(wide):
        expected = row.astype(np.float64) - np.log(np.exp(row.astype(np.float64)).sum())
        assert top_ids[i].tolist() == order(row)[:20].tolist()
        assert top[i] == pytest.approx(expected[top_ids[i]], abs=1e-12)
        assert chosen[i] == pytest.approx(expected[targets[i]], abs=1e-12)
        assert rank[i] == 1 + order(row).tolist().index(targets[i])


def test_weights_are_powers_to_2_to_the_46_and_0_where_nothing_could_be_drawn() -> None:
    exponents = np.concatenate([np.linspace(-60, 0, 10_001), np.linspace(-990, -60, 1000)]).astype(np.float32)
    found = weigh(exponents, 0.0, 1.0, 0.0)[: exponents.size]
    assert found == pytest.approx(np.exp2(exponents.astype(np.float64)), rel=2**-46)
    assert weigh(np.array([-1001.0, -INF], np.float32), 0.0, 1.0, 0.0).tolist() == [0.0] * 128


@given(row=rows, k=st.integers(0, 8), data=st.data())
@settings(deadline=None)
def test_chosen_is_the_same_float_as_in_the_top_columns(row: list[float], k: int, data: st.DataObject) -> None:
    logits = np.array([row], np.float32)
    target = data.draw(st.integers(0, len(row) - 1))
    chosen, rank, top_ids, top = log_probs(logits, np.array([target]), min(k, len(row)))
    assert rank[0] == 1 + order(logits[0]).tolist().index(target)
    if rank[0] <= top.shape[1]:
        assert top_ids[0, rank[0] - 1] == target
        assert top[0, rank[0] - 1] == chosen[0]


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [-np.nan, 1.0], [INF, 0.0], [INF, -INF], [-INF, -INF]])
def test_a_row_that_is_not_finite_is_told_and_leaves_its_neighbours_alone(bad: list[float]) -> None:
    logits = np.array([[1.0, -INF], bad, [-INF, 1.0]], np.float32)
    for how in (Settings(temperature=0.0), Settings(), Settings(top_p=0.5)):
        assert choose(logits, how).tolist() == [0, NOT_FINITE, 1]
    chosen, rank, _, _ = log_probs(logits, np.array([0, 0, 0]), 1)
    assert chosen[0] == 0.0
    assert np.isnan(chosen[1])
    assert rank.tolist() == [1, 0, 2]
    assert chosen[2] == -INF
