"""How long the sampler takes for a step, by setting, next to the same steps in plain torch on the same rows.

    python -m benchmarks.sampler --rows 32 --width 150000 --threads 2

Peaked rows look like a language model's (a nucleus of a few hundred tokens); flat ones are the worst case.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ensue.engine.rows import SampledToken, SampleRow
from ensue.engine.sampler import Sampler
from ensue.engine.sequence import Sequence as Running
from ensue.model.kernels import set_num_threads
from ensue.request import GenerationRequest
from ensue.sampling_params import SamplingParams

NUM_OUTPUT, NUM_PROMPT, NUM_BIASES = 500, 1000, 300
PENALTIES: dict[str, Any] = {
    "repetition_penalty": 1.1,
    "frequency_penalty": 0.3,
    "presence_penalty": 0.2,
    "logit_bias": tuple((7 * i, 1.5 - i % 4) for i in range(NUM_BIASES)),
}
SETTINGS: dict[str, tuple[dict[str, Any], int | None]] = {
    "greedy": ({"temperature": 0.0}, None),
    "temperature 0.8": ({"temperature": 0.8}, None),
    "top_k 50": ({"top_k": 50}, None),
    "top_p 0.9": ({"top_p": 0.9}, None),
    "min_p 0.05": ({"min_p": 0.05}, None),
    "top_k 50, top_p 0.9": ({"top_k": 50, "top_p": 0.9}, None),
    "penalties, bias": (PENALTIES, None),
    "penalties, bias, top_p 0.9": ({**PENALTIES, "top_p": 0.9}, None),
    "temperature 0.8, logprobs 5": ({"temperature": 0.8}, 5),
    "greedy, logprobs 5": ({"temperature": 0.0}, 5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--width", type=int, default=150_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    set_num_threads(options.threads)
    print(f"{options.rows} rows of {options.width}, {options.threads} threads; medians in ms (fastest)")
    for name, logits in make_logits(options.rows, options.width).items():
        print(f"\n{name:32}{'ensue':>16}{'torch':>16}{'ratio':>8}")
        for setting, (sampling, num_logprobs) in SETTINGS.items():
            report(setting, logits, SamplingParams(**sampling), num_logprobs, options.repeats)


def make_logits(num_rows: int, width: int) -> dict[str, Tensor]:
    noise = torch.randn(num_rows, width, generator=torch.Generator().manual_seed(1))
    peaked = noise * 2.5
    peaked[:, :: width // 15] += 12
    return {"peaked rows": peaked, "flat rows": noise}


def report(setting: str, logits: Tensor, sampling: SamplingParams, num_logprobs: int | None, repeats: int) -> None:
    sequences = [make_sequence(i, sampling, num_logprobs, logits.shape[1]) for i in range(len(logits))]

    def ours() -> list[SampledToken]:
        return Sampler().sample(logits, [sequence.sample_row() for sequence in sequences])

    rows = [sequence.sample_row() for sequence in sequences]
    columns = [columns_of(row) for row in rows]
    ensue = times_ms(ours, repeats)
    plain = times_ms(lambda: in_torch(logits, rows[0], columns), max(3, repeats // 5))
    middle = statistics.median(ensue), statistics.median(plain)
    figures = "".join(f"{m:8.2f} ({min(t):5.2f})" for m, t in zip(middle, (ensue, plain), strict=True))
    print(f"{setting:32}{figures}{middle[1] / middle[0]:8.1f}")


def make_sequence(number: int, sampling: SamplingParams, num_logprobs: int | None, width: int) -> Running:
    ids = torch.randint(width, (NUM_PROMPT + NUM_OUTPUT,), generator=torch.Generator().manual_seed(number)).tolist()
    request = GenerationRequest(
        "benchmark", tuple(ids[:NUM_PROMPT]), sampling, number, NUM_OUTPUT + 1, num_logprobs=num_logprobs
    )
    sequence = Running((0, number), request, 0, number, 0.0)
    for token_id in ids[NUM_PROMPT:]:
        sequence.append(SampledToken(token_id), NUM_PROMPT + NUM_OUTPUT + 1)
    return sequence


def times_ms(run: Callable[[], object], repeats: int) -> list[float]:
    run()  # compiles
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return times


Columns = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def columns_of(row: SampleRow) -> Columns:
    """Bias ids, biases, seen ids, output ids, counts."""
    rules, history = row.rules, row.history
    ids, biases = zip(*row.sampling.logit_bias, strict=True) if rules and row.sampling.logit_bias else ((), ())
    seen, output, counts = (history.seen_ids, history.output_ids, history.counts) if history else ((), (), ())
    longs = [torch.tensor(list(part), dtype=torch.int64) for part in (ids, seen, output)]
    return longs[0], torch.tensor(biases), longs[1], longs[2], torch.tensor(list(counts))


def in_torch(logits: Tensor, row: SampleRow, columns: Sequence[Columns]) -> object:
    """The same steps by sorting and torch's own random numbers; all rows have the settings of the first."""
    how = row.sampling
    raw = logits.log_softmax(-1).topk(max(row.num_logprobs, 1)) if row.num_logprobs is not None else None
    if how.changes_logits:
        logits = torch.stack([penalised(values, how, *parts) for values, parts in zip(logits, columns, strict=True)])
    if how.is_greedy:
        return logits.argmax(-1), raw
    probs = (logits / how.temperature).softmax(-1)
    if how.min_p:
        probs = probs.where(probs >= how.min_p * probs.amax(-1, keepdim=True), 0.0)
    if how.top_k:
        probs = probs.where(probs >= probs.topk(how.top_k).values[:, -1:], 0.0)
    if how.top_p < 1:
        ordered, ids = probs.sort(descending=True)
        before = ordered.cumsum(-1) - ordered
        kept = before < how.top_p * ordered.sum(-1, keepdim=True)
        probs = torch.zeros_like(probs).scatter(-1, ids, ordered.where(kept, 0.0))
    noise = torch.empty_like(probs).exponential_()
    return (probs / noise).argmax(-1), raw


def penalised(
    values: Tensor, how: SamplingParams, bias_ids: Tensor, biases: Tensor, seen: Tensor, output: Tensor, counts: Tensor
) -> Tensor:
    values = values.clone()
    values[bias_ids] += biases
    repeated = values[seen]
    values[seen] = torch.where(repeated > 0, repeated / how.repetition_penalty, repeated * how.repetition_penalty)
    values[output] -= how.frequency_penalty * counts + how.presence_penalty
    return values


if __name__ == "__main__":
    main()
