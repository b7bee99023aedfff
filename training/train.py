"""Train the bundled model on the corpus stream; resumes from its checkpoint and ends with a learning rate of zero.

The schedule follows the larger of two fractions, tokens of the budget and time until ``--until``, so that
a slow machine still ends annealed. Waits while ``training/runs/PAUSE`` exists.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy

from training.corpus import FIM_MIDDLE, training_documents
from training.model import build, export, load, token
from training.tokenizer import BOS, EOS

RUNS = Path(__file__).parent / "runs"
TINY = Path(__file__).parent.parent / "ensue" / "tiny"
STEP_TOKENS = 4096
LENGTHS = (512, 512, 1024)  # of the sequences of a step, in turn
SHARD_DOCUMENTS = 4000
PEAK = 3e-3
WARMUP = 0.01
MIDDLE_WEIGHT = 3.0
EDGE_WEIGHT = 12.0
MINUTE = 60.0


@dataclass
class Progress:
    """How far the run is. ``shard`` and ``offset`` say where the token stream goes on."""

    started: float
    step: int = 0
    tokens: int = 0
    shard: int = 0
    offset: int = 0


class Stream:
    """Documents as one stream of tokens, each between beginning and end of text, made shard by shard."""

    def __init__(self, tokenizer: Tokenizer, shard: int = 0, offset: int = 0) -> None:
        self._tokenizer = tokenizer
        self.shard = shard
        self.offset = offset
        self._tokens = self._shard_tokens()

    def take(self, count: int) -> NDArray[np.int64]:
        """The next ``count`` tokens and the one after, so that each has a target. A shard's short end is dropped."""
        if self.offset + count >= len(self._tokens):
            self.shard += 1
            self.offset = 0
            self._tokens = self._shard_tokens()
        taken = self._tokens[self.offset : self.offset + count + 1]
        self.offset += count
        return taken

    def _shard_tokens(self) -> NDArray[np.int64]:
        texts = [document.text for document in islice(training_documents(f"shard {self.shard}"), SHARD_DOCUMENTS)]
        end = [token(EOS)]
        ids = [encoding.ids + end for encoding in self._tokenizer.encode_batch(texts)]
        return np.concatenate([np.array(row, dtype=np.int64) for row in ids])


class Batch(NamedTuple):
    """All of shape [rows, length] with rows × length = STEP_TOKENS."""

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def batches(stream: Stream, step: int) -> Iterator[Batch]:
    while True:
        length = LENGTHS[step % len(LENGTHS)]
        taken = stream.take(STEP_TOKENS)
        parts = (taken[:-1], taken[1:], target_weights(taken[:-1], taken[1:]))
        yield Batch(*(torch.from_numpy(part).view(-1, length) for part in parts))
        step += 1


def target_weights(inputs: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.float32]:
    """1 for most targets, more in the middle of a fill-in-the-middle example, most for its first two and its end.

    The first tokens of a middle must be found far back, at the end of the prefix; the end must be found by looking at
    the suffix; and both are rare.
    """
    places = np.arange(len(inputs))
    middle, start = (np.maximum.accumulate(np.where(inputs == token(name), places, -1)) for name in (FIM_MIDDLE, BOS))
    weights = np.where((places - middle < 2) | (targets == token(EOS)), EDGE_WEIGHT, MIDDLE_WEIGHT)
    return np.where((middle > start) & (inputs != token(EOS)), weights, 1.0).astype(np.float32)


def learning_rate(fraction: float) -> float:
    """A short linear rise, then a straight line to zero (https://arxiv.org/abs/2502.15938)."""
    return PEAK * min(fraction / WARMUP, max(0.0, (1 - fraction) / (1 - WARMUP)))


class Optimizers:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms.

    Muon is https://kellerjordan.github.io/posts/muon/, with updates scaled to the size of AdamW's, so that both
    share one learning rate.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        outer = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
        muon = torch.optim.Muon(inner, lr=PEAK, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw")
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            muon,
            torch.optim.AdamW(outer, lr=PEAK, betas=(0.9, 0.98), weight_decay=0.0),
        )

    def step(self, rate: float) -> None:
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def load(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def loss_of(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Weighted mean cross-entropy in nats per token."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=batch.inputs, use_cache=False).logits
    losses = cross_entropy(logits.float().flatten(0, 1), batch.targets.flatten(), reduction="none")
    return losses @ batch.weights.flatten() / batch.weights.sum()


@dataclass(frozen=True)
class Limits:
    tokens: int
    until: float  # seconds since the epoch

    def fraction(self, progress: Progress) -> float:
        by_time = (time.time() - progress.started) / max(1.0, self.until - progress.started)
        return max(progress.tokens / self.tokens, by_time)


class Run:
    """A training run in a folder: checkpoint, log and the loop between them."""

    def __init__(self, folder: Path, limits: Limits, weights: Path | None = None, shard: int = 0) -> None:
        """
        Args:
            weights: an exported model to begin with, instead of random weights.
            shard: where the token stream begins, so that a second run sees other documents than the first.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limits = limits
        self._model = build() if weights is None else load(weights)
        self._optimizers = Optimizers(self._model)
        self._progress = Progress(started=time.time(), shard=shard)
        if self._checkpoint.exists():
            self._load()
        tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))
        self._stream = Stream(tokenizer, self._progress.shard, self._progress.offset)

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint.pt"

    def _load(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._optimizers.load(state["optimizers"])
        self._progress = Progress(**state["progress"])

    def _save(self) -> None:
        """Write aside and rename, so that a kill leaves the old checkpoint or the whole one after it."""
        self._progress.shard, self._progress.offset = self._stream.shard, self._stream.offset
        state = {"model": self._model.state_dict(), "optimizers": self._optimizers.state()}
        aside = self._checkpoint.with_suffix(".part")
        torch.save(state | {"progress": asdict(self._progress)}, aside)
        os.replace(aside, self._checkpoint)

    def train(self, save_every: float = 4 * MINUTE) -> None:
        """Steps until the limits, with a checkpoint every ``save_every`` seconds."""
        saved = time.monotonic()
        for batch in batches(self._stream, self._progress.step):
            fraction = self._limits.fraction(self._progress)
            if fraction >= 1:
                break
            self._step(batch, learning_rate(fraction))
            if time.monotonic() - saved > save_every:
                self._save()
                saved = time.monotonic()
            _wait_while_paused()
        self._save()

    def _step(self, batch: Batch, rate: float) -> None:
        begin = time.monotonic()
        loss = loss_of(self._model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizers.step(rate)
        self._progress.step += 1
        self._progress.tokens += batch.inputs.numel()
        if self._progress.step % 20 == 0:
            self._log(float(loss.detach()), rate, batch.inputs.numel() / (time.monotonic() - begin))

    def _log(self, loss: float, rate: float, speed: float) -> None:
        line: dict[str, object] = {"step": self._progress.step, "tokens": self._progress.tokens, "loss": round(loss, 4)}
        line |= {"rate": round(rate, 6), "tokens_per_second": round(speed), "time": datetime.now().strftime("%H:%M:%S")}
        with (self._folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def _wait_while_paused() -> None:
    while (RUNS / "PAUSE").exists():
        time.sleep(1)


def export_checkpoint(checkpoint: Path, folder: Path) -> None:
    export(torch.load(checkpoint, weights_only=True)["model"], folder)


def clock(text: str) -> float:
    """``HH:MM`` of today, as seconds since the epoch."""
    hour, minute = text.split(":")
    return datetime.now().replace(hour=int(hour), minute=int(minute), second=0).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="tiny", help="name of the folder below training/runs")
    parser.add_argument("--tokens", type=int, default=25_000_000, help="token budget")
    parser.add_argument("--until", type=clock, default=float("inf"), help="HH:MM of today at which the run has ended")
    parser.add_argument("--weights", type=Path, help="folder of an exported model that the run begins with")
    parser.add_argument("--shard", type=int, default=0, help="number of the first shard of documents")
    parser.add_argument("--export", action="store_true", help="write the checkpoint to ensue/tiny and stop")
    arguments = parser.parse_args()
    folder = RUNS / arguments.run
    if arguments.export:
        export_checkpoint(folder / "checkpoint.pt", TINY)
        return
    os.nice(max(0, 19 - os.nice(0)))
    torch.set_num_threads(2)
    Run(folder, Limits(arguments.tokens, arguments.until), arguments.weights, arguments.shard).train()


if __name__ == "__main__":
    main()
