"""Measure the bundled model on held-out documents and print the numbers of its card as Markdown.

Held out are names (`Split.NAMES`), and patterns, phrasings and sums (`Split.PATTERNS`); training shows neither.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from training import chat, questions, sums, turns
from training.chat import Chat
from training.corpus import FIM_MIDDLE, KINDS, Cut, documents
from training.grammar import Split, Voice
from training.questions import Turn

SEED = "evaluate"
BATCH = 32
FIM_KINDS = ("story", "json", "python", "arithmetic")
SHORT = 120  # characters


class Example(NamedTuple):
    prompt: str
    answer: str


class Model:
    """The exported files with what the measurements need of them; text in, text or nats out."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model.requires_grad_(False)

    @property
    def parameters(self) -> int:
        return int(self._model.num_parameters())

    @torch.inference_mode()
    def nats(self, text: str) -> tuple[float, int]:
        """The sum of the losses of a document and of its end, and their number."""
        ids = self._tokenizer(text, return_tensors="pt").input_ids
        ids = torch.cat([ids, torch.tensor([[self._tokenizer.eos_token_id]])], 1)[
            :, : self._model.config.max_position_embeddings
        ]
        logits = self._model(ids).logits[0, :-1]
        return float(cross_entropy(logits, ids[0, 1:], reduction="sum")), ids.shape[1] - 1

    @torch.inference_mode()
    def complete(self, prompts: Sequence[str], longest: int, **sampling: object) -> list[str]:
        """Continuations up to an end token, greedy unless ``sampling`` says otherwise."""
        inputs = self._tokenizer(list(prompts), return_tensors="pt", padding=True)
        options = {"do_sample": False, "temperature": None, "top_p": None} | sampling
        output = self._model.generate(**inputs, max_new_tokens=longest, **options)
        new = output[:, inputs.input_ids.shape[1] :]
        return [str(text) for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)]

    def accuracy(self, examples: Sequence[Example], longest: int = 64) -> float:
        """The share of greedy continuations that are the answer, letter for letter."""
        right = 0
        for start in range(0, len(examples), BATCH):
            batch = examples[start : start + BATCH]
            texts = self.complete([example.prompt for example in batch], longest)
            right += sum(text == example.answer for text, example in zip(texts, batch, strict=True))
        return right / len(examples)


def perplexity(model: Model, kind: str, split: Split, count: int) -> float:
    """Per token, over whole documents."""
    measured = [model.nats(document.text) for document in islice(documents(SEED, split, kind), count)]
    return math.exp(sum(nats for nats, _ in measured) / sum(tokens for _, tokens in measured))


def fim_examples(kind: str, count: int, characters: int | None = None, longest: int = 3) -> list[Example]:
    """Middles of one to ``longest`` words in documents or their beginnings; in arithmetic, results of sums."""
    whole = documents(f"{SEED} fim", Split.NAMES, kind)
    texts = (_beginning(document.text, characters, "\n" if kind == "arithmetic" else " ") for document in whole)
    cuts = (_word_cut(text, number, kind, longest) for number, text in enumerate(texts))
    return [_as_example(cut) for cut in islice(cuts, count)]


def _beginning(text: str, characters: int | None, separator: str) -> str:
    """Up to ``characters``, without a part of a line or word at the end."""
    if characters is None or len(text) <= characters:
        return text
    return text[:characters].rsplit(separator, 1)[0]


def _word_cut(text: str, number: int, kind: str, longest: int) -> Cut:
    voice = Voice(f"{SEED} cut {number}")
    if kind == "arithmetic":
        start = voice.choice([place for place in range(len(text)) if text[place - 1] == "="])
        end = text.find("\n", start) if "\n" in text[start:] else len(text)
        return Cut(text[:start], text[start:end], text[end:])
    edges = [place for place in range(1, len(text)) if text[place] in " \n" and text[place - 1] not in " \n"]
    first = voice.number(0, max(0, len(edges) - 1 - longest))
    last = min(len(edges) - 1, first + voice.number(1, longest))
    return Cut(text[: edges[first]], text[edges[first] : edges[last]], text[edges[last] :])


def _as_example(cut: Cut) -> Example:
    assert cut.text().endswith(f"{FIM_MIDDLE}{cut.middle}")
    return Example(cut.text().removesuffix(cut.middle), cut.middle)


def _chat_example(made: Chat) -> Example:
    return Example(made.prompt(), made.turns[-1].answer)


def _alone(turn: Callable[[Voice], Turn]) -> Callable[[Voice], Chat]:
    return lambda voice: Chat((turn(voice),))


CHAT_TASKS: dict[str, tuple[str, Split, Callable[[Voice], Chat]]] = {
    "facts": ("asked by a phrasing that training never shows", Split.PATTERNS, _alone(questions.fact)),
    "sums": ("up to two digits, pairs that training never shows", Split.PATTERNS, _alone(turns.arithmetic)),
    "reading": ("who has what where, with unseen names", Split.NAMES, _alone(turns.reading)),
    "memory": ("what the user said earlier, with unseen names", Split.NAMES, chat.memory),
    "name": ("the name that the system message gives, unseen", Split.NAMES, chat.named_assistant),
    "short answers": ("one word where the system message asks for it", Split.NAMES, chat.short_questions),
    "extraction": ("a sentence to JSON, with unseen names", Split.NAMES, _alone(turns.extraction)),
    "counting": ("from one number to another", Split.NAMES, _alone(turns.counting)),
    "comparison": ("the larger of two numbers", Split.NAMES, _alone(turns.larger)),
    "repeating": ("a phrase or a word, some with unseen names", Split.NAMES, _alone(turns.repeating)),
}


def chat_examples(task: str, count: int) -> list[Example]:
    _, split, make = CHAT_TASKS[task]
    return [_chat_example(make(Voice(f"{SEED} {task} {number}", split))) for number in range(count)]


def sum_examples(count: int) -> list[Example]:
    """Held-out sums as plain text, after two sums that training may show."""
    examples = []
    for number in range(count):
        shown = [sums.random_sum(Voice(f"{SEED} shown {number} {index}")) for index in range(2)]
        asked = sums.random_sum(Voice(f"{SEED} sum {number}", Split.PATTERNS))
        lines = "".join(f"{item.question} = {item.result}\n" for item in shown)
        examples.append(Example(f"{lines}{asked.question} =", f" {asked.result}"))
    return examples


def plain_accuracy(model: Model, examples: Sequence[Example]) -> float:
    """As `Model.accuracy`, but the continuation may go on in a line of its own."""
    texts = model.complete([example.prompt for example in examples], 6)
    return sum(text.split("\n")[0] == example.answer for text, example in zip(texts, examples, strict=True)) / len(
        examples
    )


def sample_stories(model: Model, count: int) -> list[str]:
    """Stories from a name that training never shows; seeded."""
    prompts = [
        "Once upon a time, there was a kind girl called Nora.",
        "One morning, Oscar was in the forest",
        "Felix the fox",
    ]
    torch.manual_seed(1)
    texts = model.complete(prompts[:count], 320, do_sample=True, temperature=0.7, top_p=0.95)
    return [prompt + text for prompt, text in zip(prompts, texts, strict=False)]


def sample_answers(model: Model) -> list[str]:
    asked = (
        "Who are you?",
        "What is the capital of France?",
        "What is 27 + 45?",
        "Write a function to add two numbers.",
    )
    prompts = [Chat((Turn(question, ""),)).prompt() for question in asked]
    return [f"{question} → {answer}" for question, answer in zip(asked, model.complete(prompts, 64), strict=True)]


def report(folder: Path, scale: float = 1.0, parts: Sequence[str] = ()) -> Iterator[str]:
    """The lines of the results, as they come; ``scale`` shortens or lengthens every sample, no ``parts`` means all."""
    model = Model(folder)
    sections = {
        "size": lambda: iter([f"{model.parameters:,} parameters."]),
        "perplexity": lambda: _perplexities(model, round(60 * scale)),
        "fim": lambda: _middles(model, round(200 * scale)),
        "chat": lambda: _chats(model, round(200 * scale)),
        "samples": lambda: _samples(model),
    }
    for part in parts or sections:
        yield from sections[part]()


def _samples(model: Model) -> Iterator[str]:
    yield "\n### Samples\n\nFrom the first words on, at temperature 0.7 and top-p 0.95:\n"
    yield from ("> " + story.replace("\n\n", "\n>\n> ") + "\n" for story in sample_stories(model, 3))
    yield "Greedy answers:\n"
    yield from ("- " + answer.replace("\n", "\n  ") for answer in sample_answers(model))


def _perplexities(model: Model, count: int) -> Iterator[str]:
    yield f"\n### Held-out perplexity\n\nPer token, over {count} documents of each kind.\n"
    yield "| documents | unseen names | unseen patterns, phrasings and sums |\n|---|---|---|"
    for kind in KINDS:
        unseen_names, unseen_patterns = (
            perplexity(model, kind, split, count) for split in (Split.NAMES, Split.PATTERNS)
        )
        yield f"| {kind} | {unseen_names:.2f} | {unseen_patterns:.2f} |"


def _middles(model: Model, count: int) -> Iterator[str]:
    yield "\n### Fill in the middle\n"
    yield f"Exact match of middles of one to three words, in arithmetic of results; greedy, {count} each, unseen names."
    yield "Many middles cannot be known, such as an age or a colour that is told once.\n"
    yield f"| documents | first {SHORT} characters | whole |\n|---|---|---|"
    for kind in FIM_KINDS:
        short, whole = (model.accuracy(fim_examples(kind, count, size), 24) for size in (SHORT, None))
        yield f"| {kind} | {short:.1%} | {whole:.1%} |"


def _chats(model: Model, count: int) -> Iterator[str]:
    yield f"\n### Chat\n\nAnswers that are right to the letter, greedy, {count} held-out questions each.\n"
    yield "| questions | | right |\n|---|---|---|"
    for task, (meaning, _, _) in CHAT_TASKS.items():
        yield f"| {task} | {meaning} | {model.accuracy(chat_examples(task, count)):.1%} |"
    yield f"\nHeld-out sums as plain text (`27 + 45 =`): {plain_accuracy(model, sum_examples(count)):.1%} right."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the exported model, such as ensue/tiny")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full samples")
    parser.add_argument(
        "--part", action="append", default=[], help="size, perplexity, fim, chat or samples; repeatable"
    )
    arguments = parser.parse_args()
    for line in report(arguments.folder, arguments.scale, arguments.part):
        print(line, flush=True)


if __name__ == "__main__":
    main()
