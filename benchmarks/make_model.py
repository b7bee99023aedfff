"""Make a random-weight checkpoint of a given shape: speed and memory are real, the text is noise.

    python benchmarks/make_model.py OUT [--preset tiny|360m|1b|8b] [--architecture llama|mistral|qwen2|qwen3]

Weights are N(0, 0.02) in bfloat16 from a fixed seed, made and written tensor by tensor, so that an 8 B model needs
little memory; the tokenizer is a byte-level BPE trained on the running Python's own library source. No network.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SHARD_BYTES = 2 * 2**30
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder."""

    vocab: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    is_tied: bool = True


PRESETS = {
    "tiny": Shape(2048, 64, 128, 2, 4, 2, 16),
    "360m": Shape(49152, 960, 2560, 32, 15, 5, 64),
    "1b": Shape(128256, 2048, 8192, 16, 32, 8, 64),
    "8b": Shape(128256, 4096, 14336, 32, 32, 8, 128, is_tied=False),
}


def tensors(shape: Shape, architecture: str, generator: torch.Generator) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of the checkpoint, one at a time, in bfloat16."""

    def normal(*size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.bfloat16).normal_(0.0, 0.02, generator=generator)

    def ones(size: int) -> torch.Tensor:
        return torch.ones(size, dtype=torch.bfloat16)

    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield "model.embed_tokens.weight", normal(shape.vocab, shape.hidden)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", ones(shape.hidden)
        yield prefix + "post_attention_layernorm.weight", ones(shape.hidden)
        for name, width in (("q", q), ("k", kv), ("v", kv)):
            yield f"{prefix}self_attn.{name}_proj.weight", normal(width, shape.hidden)
            if architecture == "qwen2":
                yield f"{prefix}self_attn.{name}_proj.bias", normal(width)
        if architecture == "qwen3":
            yield prefix + "self_attn.q_norm.weight", ones(shape.head_dim)
            yield prefix + "self_attn.k_norm.weight", ones(shape.head_dim)
        yield prefix + "self_attn.o_proj.weight", normal(shape.hidden, q)
        yield prefix + "mlp.gate_proj.weight", normal(shape.intermediate, shape.hidden)
        yield prefix + "mlp.up_proj.weight", normal(shape.intermediate, shape.hidden)
        yield prefix + "mlp.down_proj.weight", normal(shape.hidden, shape.intermediate)
    yield "model.norm.weight", ones(shape.hidden)
    if not shape.is_tied:
        yield "lm_head.weight", normal(shape.vocab, shape.hidden)


def write_weights(out: Path, shape: Shape, architecture: str, seed: int) -> int:
    """Write the shards and their index; returns the number of parameters."""
    shards: list[list[str]] = []
    pending: dict[str, torch.Tensor] = {}
    num_parameters = 0

    def flush() -> None:
        shards.append(list(pending))
        save_file(pending, out / f"part-{len(shards):05d}.safetensors", metadata={"format": "pt"})
        pending.clear()

    for name, tensor in tensors(shape, architecture, torch.Generator().manual_seed(seed)):
        num_parameters += tensor.numel()
        pending[name] = tensor
        if sum(t.nbytes for t in pending.values()) >= SHARD_BYTES:
            flush()
    if pending:
        flush()
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        (out / f"part-{number:05d}.safetensors").rename(out / file)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": 2 * num_parameters}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    return num_parameters


def write_config(out: Path, shape: Shape, architecture: str) -> None:
    """Write config.json as transformers does for the architecture."""
    config = {
        "architectures": [CLASSES[architecture]],
        "model_type": architecture,
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": shape.is_tied,
        "torch_dtype": "bfloat16",
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    (out / "config.json").write_text(json.dumps(config, indent=1))


def write_tokenizer(out: Path, vocab_size: int) -> None:
    """Train a byte-level BPE on Python's standard library."""
    files = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))[:2000]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL, show_progress=False, initial_alphabet=alphabet
    )
    bpe.train_from_iterator((f.read_text(errors="ignore") for f in files), trainer)
    bpe.save(str(out / "tokenizer.json"))
    settings = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[0], "chat_template": CHAT}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def main() -> None:
    """Write the checkpoint that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--preset", choices=PRESETS, default="360m")
    parser.add_argument("--architecture", choices=CLASSES, default="llama")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    shape = PRESETS[args.preset]
    args.out.mkdir(parents=True, exist_ok=True)
    write_config(args.out, shape, args.architecture)
    write_tokenizer(args.out, min(shape.vocab, 32000))
    num_parameters = write_weights(args.out, shape, args.architecture, args.seed)
    print(f"{args.out}: {num_parameters / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
