"""Tiny random checkpoints made by transformers, in every shape that is served."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


@dataclass(frozen=True)
class Case:
    """A family with its variations."""

    family: str
    more: dict[str, Any] = field(default_factory=dict)


CASES = {
    "llama": Case("llama"),
    "llama tied": Case("llama", {"tie_word_embeddings": True}),
    "llama biases": Case("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama one kv head": Case("llama", {"num_key_value_heads": 1}),
    "llama odd heads": Case("llama", {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 24}),
    "llama linear": Case("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    "llama dynamic": Case("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}),
    "llama yarn": Case("llama", {"rope_scaling": YARN_ROPE}),
    "llama yarn mscale": Case("llama", {"rope_scaling": YARN_ROPE | {"mscale": 0.8, "mscale_all_dim": 0.5}}),
    "llama llama3": Case("llama", {"rope_scaling": LLAMA3_ROPE, "rope_theta": 500_000.0}),
    "mistral": Case("mistral", {"sliding_window": None}),
    "mistral window": Case("mistral", {"sliding_window": 37}),
    "qwen2": Case("qwen2"),
    "qwen2 window": Case("qwen2", {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1}),
    "qwen3": Case("qwen3", {"tie_word_embeddings": True}),
    "qwen3 yarn": Case("qwen3", {"rope_scaling": YARN_ROPE}),
}


def make(folder: Path, case: Case, dtype: torch.dtype = torch.float32, **save: Any) -> Any:
    """Write a checkpoint, biases and norms random too, and return transformers' own model as it loads it."""
    settings: dict[str, Any] = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "tie_word_embeddings": False,
        "eos_token_id": 1,
        "bos_token_id": 0,
        "pad_token_id": None,
    }
    config = AutoConfig.for_model(case.family, **{**settings, **case.more})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.2 if parameter.ndim == 1 else 0.15
            parameter.copy_(torch.randn_like(parameter) * spread + ("norm" in name))
    model.to(dtype).save_pretrained(folder, **save)
    return load_by_transformers(folder, dtype)


def load_by_transformers(folder: Path, dtype: torch.dtype) -> Any:
    """Their model as they load it: `model.to(dtype)` would round the frequencies of rope, too."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()  # type: ignore[no-untyped-call]
