"""The shape of the bundled model, and its files as transformers and ensue read them."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from training.tokenizer import BOS, EOS, PAD, SPECIAL, VOCABULARY

CONTEXT = 1024
IM_END = "<|im_end|>"


def token(name: str) -> int:
    """The special tokens are the first of the vocabulary, in their order."""
    return SPECIAL.index(name)


CONFIG: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "initializer_range": 0.02,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": token(BOS),
    "eos_token_id": [token(EOS), token(IM_END)],
    "pad_token_id": token(PAD),
    "torch_dtype": "bfloat16",
    "use_cache": True,
}
GENERATION: dict[str, object] = {
    "bos_token_id": token(BOS),
    "eos_token_id": [token(EOS), token(IM_END)],
    "pad_token_id": token(PAD),
    "do_sample": True,
    "temperature": 0.7,
    "top_p": 0.95,
}


def build(seed: int = 0) -> LlamaForCausalLM:
    """A model with random weights, float32."""
    torch.manual_seed(seed)
    config: Any = LlamaConfig.from_dict(CONFIG | {"torch_dtype": "float32"})
    return LlamaForCausalLM(config)


def load(folder: Path) -> LlamaForCausalLM:
    """The model that `export` wrote, in float32."""
    model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return cast(LlamaForCausalLM, model.train())


def export(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write bfloat16 weights and configs. The output matrix is the embedding and is not written twice."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.to(torch.bfloat16).contiguous() for name, value in weights.items() if name != "lm_head.weight"
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(GENERATION, indent=2) + "\n")
