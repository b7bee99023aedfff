"""What config.json means is what transformers takes it to mean, fields that are left out included."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ensue.model.config import load_config
from ensue.model.rope import attention_factor, inverse_frequencies

SIZES = {"vocab_size": 50, "hidden_size": 256, "intermediate_size": 32, "num_hidden_layers": 4}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0}
FAMILIES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
VARIATIONS: dict[str, dict[str, Any]] = {
    "as little as can be": {},
    "no window by null": {"sliding_window": None},
    "as many kv heads by null": {"num_key_value_heads": None},
    "a window switched on": {"use_sliding_window": True, "max_window_layers": 2},
    "a window of none": {"use_sliding_window": True, "sliding_window": None, "max_window_layers": 1},
    "kinds of layers": {
        "use_sliding_window": True,
        "sliding_window": 8,
        "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    },
    "theta": {"rope_theta": 1e6},
    "theta in the object": {"rope_theta": 1e6, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    "linear": {"rope_scaling": {"type": "linear", "factor": 2.5}},
    "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 128},
    "yarn": {"rope_scaling": {**YARN, "original_max_position_embeddings": 64}},
    "yarn of its own length": {"rope_scaling": YARN, "max_position_embeddings": 128},
    "yarn without a factor": {
        "rope_scaling": {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 64},
        "max_position_embeddings": 512,
    },
    "yarn by hand": {
        "rope_scaling": {**YARN, "beta_fast": 16, "beta_slow": 2, "attention_factor": 1.5, "truncate": False}
    },
    "a length outside the object": {"rope_scaling": YARN, "original_max_position_embeddings": 32},
    "both objects": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": YARN},
    "llama3": {"rope_scaling": {"rope_type": "llama3", **LLAMA3, "original_max_position_embeddings": 256}},
}


THEY_FAIL = {("mistral", "as many kv heads by null"), ("mistral", "kinds of layers")}


@pytest.mark.parametrize(
    ("family", "variation"), [pair for pair in itertools.product(FAMILIES, VARIATIONS) if pair not in THEY_FAIL]
)
def test_a_config_means_what_transformers_takes_it_to_mean(family: str, variation: str, tmp_path: Path) -> None:
    raw = {"architectures": [FAMILIES[family]], "model_type": family, "num_attention_heads": 32, **SIZES}
    (tmp_path / "config.json").write_text(json.dumps({**raw, **VARIATIONS[variation]}))
    ours, theirs = load_config(tmp_path), AutoConfig.from_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_config(theirs).model  # type: ignore[no-untyped-call]
    head_dim = getattr(theirs, "head_dim", None) or theirs.hidden_size // theirs.num_attention_heads
    assert (ours.num_kv_heads, ours.head_dim) == (theirs.num_key_value_heads, head_dim)
    assert (ours.max_model_len, ours.is_tied) == (theirs.max_position_embeddings, theirs.tie_word_embeddings)
    assert list(ours.sliding_windows) == [_window(layer, theirs) for layer in model.layers]
    frequencies = inverse_frequencies(ours.rope, ours.head_dim)
    assert torch.allclose(frequencies, model.rotary_emb.inv_freq, rtol=1e-6)
    assert attention_factor(ours.rope) == pytest.approx(model.rotary_emb.attention_scaling)


def _window(layer: Any, config: Any) -> int | None:
    """Qwen's attention knows its own, Mistral's has the model's, Llama's none."""
    if config.model_type == "mistral":
        return config.sliding_window  # type: ignore[no-any-return]
    return getattr(layer.self_attn, "sliding_window", None)
