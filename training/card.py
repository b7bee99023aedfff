"""Write the model card: the text of ``card.md``, the recipe of the run, and what `training.evaluate` printed."""

import argparse
import json
from pathlib import Path
from typing import Any

from training.train import EDGE_WEIGHT, LENGTHS, MIDDLE_WEIGHT, PEAK, RUNS, STEP_TOKENS

TEXT = Path(__file__).parent / "card.md"
RECIPE = """\
About {step:,} steps of {step_tokens:,} tokens, {tokens:,} tokens in all, in sequences of {lengths} tokens, on two CPU
cores in bfloat16 autocast. Muon for the matrices inside the layers and AdamW for the embedding and the norms, weight
decay 0.05 for the matrices, gradients clipped at 1; the learning rate rises to {peak} within a hundredth of the run and
falls in a straight line to zero. In fill-in-the-middle examples the loss of the middle counts {middle:g} times, and
that of its first two tokens and its end {edge:g} times."""


def recipe(last: dict[str, Any]) -> str:
    """``last`` is the last line of the log of the run."""
    lengths = " and ".join(f"{length:,}" for length in sorted(set(LENGTHS)))
    values = {
        "step_tokens": STEP_TOKENS,
        "lengths": lengths,
        "peak": PEAK,
        "middle": MIDDLE_WEIGHT,
        "edge": EDGE_WEIGHT,
    }
    return RECIPE.format(**last | values)


def card(results: str, last: dict[str, Any]) -> str:
    return TEXT.read_text().replace("{recipe}", recipe(last)) + results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="what evaluate.py printed")
    parser.add_argument("card", type=Path, help="the file to write, such as ensue/tiny/MODEL_CARD.md")
    parser.add_argument("--run", default="tiny", help="name of the folder below training/runs")
    arguments = parser.parse_args()
    log = (RUNS / arguments.run / "log.jsonl").read_text().splitlines()
    arguments.card.write_text(card(arguments.results.read_text(), json.loads(log[-1])))


if __name__ == "__main__":
    main()
