"""lm-evaluation-harness: tasks made here, scored by its `local-…` clients and by its own backend on the same weights.

Prompts go as token ids, made by the harness or, for it, by the server: as texts, a BOS would stand in them twice.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

TOLERANCE = 1e-3  # of the log-probability of a whole choice
NUM_DOCS = 24
WORDS = [
    "once",
    "upon",
    "a",
    "time",
    "there",
    "was",
    "small",
    "fox",
    "Lily",
    "café",
    "数学",
    "naïve",
    "run",
    "house",
    "blue",
    '{"a":',
    "1}",
    "def",
    "f(x):",
    "return",
]

CHOICES = """
task: choices
dataset_path: json
dataset_kwargs: {data_files: {test: DOCS}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
target_delimiter: ""
doc_to_target: answer
metric_list: [{metric: acc}]
"""
TEXTS = """
task: NAME
dataset_path: json
dataset_kwargs: {data_files: {test: DOCS}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: [STOPS], max_gen_toks: 24, do_sample: false, temperature: 0.0}
metric_list: [{metric: exact_match}]
"""
STOPS = '"\\n", " the", " a"'  # of a chat the harness sends four at most, its end token among them
MORE_STOPS = f'{STOPS}, "fox", "."'


def write_tasks(folder: Path) -> TaskManager:
    """Three tasks over the same random documents."""
    draw = random.Random(1)
    with (folder / "docs.jsonl").open("w") as file:
        for _ in range(NUM_DOCS):
            choices = [" " + words(draw, 6) for _ in range(4)]
            file.write(json.dumps({"question": words(draw, 60), "choices": choices, "answer": 0}) + "\n")
    texts = TEXTS.replace("NAME", "texts").replace("STOPS", MORE_STOPS)
    chats = TEXTS.replace("NAME", "chats").replace("STOPS", STOPS)
    for name, task in (("choices", CHOICES), ("texts", texts), ("chats", chats)):
        (folder / f"{name}.yaml").write_text(task.replace("DOCS", str(folder / "docs.jsonl")))
    return TaskManager(include_path=str(folder), include_defaults=False)


def words(draw: random.Random, most: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, most)))


def evaluate(
    model: str, arguments: dict[str, Any], tasks: TaskManager, batch_size: int, *, is_chat: bool = False
) -> dict[str, list[Any]]:
    """The harness' answers to each document, by task."""
    result = lm_eval.simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=["chats"] if is_chat else ["choices", "texts"],
        apply_chat_template=is_chat,
        task_manager=tasks,
        batch_size=batch_size,
        log_samples=True,
        bootstrap_iters=0,
    )
    assert result is not None
    return {
        name: [sample["resps"] for sample in sorted(samples, key=lambda sample: sample["doc_id"])]
        for name, samples in result["samples"].items()
    }


def compare(expected: dict[str, list[Any]], found: dict[str, list[Any]]) -> None:
    assert found["texts"] == expected["texts"]
    for own, served in zip(expected["choices"], found["choices"], strict=True):
        for (own_answer,), (answer,) in zip(own, served, strict=True):
            assert abs(float(own_answer[0]) - float(answer[0])) < TOLERANCE, (own_answer, answer)
            assert str(own_answer[1]) == str(answer[1]), "greedy or not"


def main(url: str, weights: str) -> None:
    key = os.environ["OPENAI_API_KEY"]
    ways: tuple[tuple[bool, dict[str, Any]], ...] = (  # the harness puts no BOS before what the server tokenizes for it
        (True, {"tokenized_requests": True, "tokenizer": weights}),
        (False, {"tokenized_requests": True, "tokenizer_backend": "remote", "auth_token": key}),
    )
    with tempfile.TemporaryDirectory() as folder:
        tasks = write_tasks(Path(folder))
        own = {"pretrained": weights, "dtype": "float32", "device": "cpu"}
        expected = {
            adds_bos: evaluate("hf", {**own, "add_bos_token": adds_bos}, tasks, batch_size=1)
            for adds_bos in (True, False)
        }
        served = {"model": "random", "base_url": f"{url}/v1/completions", "num_concurrent": 4, "max_retries": 1}
        for adds_bos, way in ways:
            arguments = {**served, **way, "add_bos_token": adds_bos}
            found = evaluate("local-completions", arguments, tasks, batch_size=4)
            compare(expected[adds_bos], found)
        told = evaluate("hf", own, tasks, batch_size=1, is_chat=True)
        chats = {**served, "base_url": f"{url}/v1/chat/completions"}
        found = evaluate("local-chat-completions", chats, tasks, batch_size=1, is_chat=True)
        assert found == told


if __name__ == "__main__":
    main(*sys.argv[1:])
