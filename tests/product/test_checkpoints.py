"""Checkpoints of every family through the whole product: HTTP in, log-probabilities of transformers out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ensue.text.chat_template import ChatTemplate
from tests.model.checkpoints import LLAMA3_ROPE, Case, make
from tests.product.server import running_server

SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content + '<|eot_id|>' }}"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
CASES = {
    "llama": Case("llama", {"rope_scaling": LLAMA3_ROPE, "rope_theta": 500_000.0}),
    "mistral": Case("mistral", {"sliding_window": 24}),
    "qwen2": Case("qwen2", {"tie_word_embeddings": True}),
    "qwen3": Case("qwen3"),
}


def write_tokenizer(folder: Path) -> Tokenizer:
    """Byte-level, in the style of Llama 3, with its special tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(["the model says the other thing"] * 4, trainer)
    backend.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[4], "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return backend


@torch.inference_mode()
def expected_logprobs(model: Any, ids: list[int]) -> torch.Tensor:
    """Of each token but the first, given those before it."""
    logprobs = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    chosen: torch.Tensor = logprobs[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return chosen


@pytest.mark.parametrize("name", CASES)
def test_scores_over_http_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    folder = tmp_path / f"my-{name}"
    model = make(folder, CASES[name])
    write_tokenizer(folder)
    ids = [(7 * i * i + 3) % 290 for i in range(100)]
    with running_server(tmp_path, str(folder), "--dtype", "float32") as server:
        body = {"model": f"my-{name}", "prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 2}
        choice = server.post(body)["choices"][0]
        assert choice["finish_reason"] == "length"
        scored = choice["logprobs"]["token_logprobs"]
        assert scored[0] is None
        assert (torch.tensor(scored[1:]) - expected_logprobs(model, ids)).abs().max() < 1e-4


def test_a_look_alike_of_llama_3_instruct_ends_its_turn(tmp_path: Path) -> None:
    """The end of a turn stands in generation_config.json alone; the served name is the provider's."""
    folder = tmp_path / "look-alike"
    model = make(folder, CASES["llama"])
    backend = write_tokenizer(folder)
    prompt = ChatTemplate(TEMPLATE, {}).render([{"role": "user", "content": "the thing?"}])
    ids = torch.tensor([backend.encode(prompt).ids])
    greedy = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None)[0, ids.shape[1] :].tolist()
    end = next(token for n, token in enumerate(greedy) if n >= 4 and token not in greedy[:n])
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, end]}))
    name = "meta-llama/Meta-Llama-3-8B-Instruct"
    with running_server(tmp_path, str(folder), "--dtype", "float32", "--served-model-name", name) as server:
        body = {"model": name, "prompt": prompt, "max_tokens": 50, "temperature": 0, "logprobs": 0}
        choice = server.post(body)["choices"][0]
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", None)
        assert len(choice["logprobs"]["tokens"]) == greedy.index(end) + 1
        assert server.post(body | {"ignore_eos": True})["usage"]["completion_tokens"] == 50
