"""From a model folder to a loaded decoder, and a name for all that decides the bits that it computes."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from pathlib import Path

import numba
import structlog
import torch
from torch import Tensor

import ensue
from ensue.config import EngineConfig
from ensue.model.config import ModelConfig, load_config
from ensue.model.decoder import Decoder, Layer
from ensue.model.linear import Linear, LinearPath, choose_path
from ensue.model.loader import INDEX, SINGLE, Checkpoint
from ensue.model.self_test import self_test

Progress = Callable[[str, float | None], None]

log = structlog.get_logger(__name__)
_SAMPLED_BYTES = 1 << 16  # read of each weights file for the fingerprint: its header, and places over its length
_NUM_SAMPLES = 64


def load_model(folder: Path, config: EngineConfig, progress: Progress) -> Decoder:
    """Load, pack and test a model.

    Raises:
        ModelError: the folder can't be served.
        ConfigError: the settings don't fit the model or the machine.
    """
    model = load_config(folder, config.max_model_len)
    device = choose_device(config.device)
    path = choose_path(config.linear_path, config.dtype, device)
    with Checkpoint(folder, lambda fraction: progress("weights", fraction)) as checkpoint:
        decoder = _Builder(model, checkpoint, path, choose_dtype(path, config.dtype, model.dtype), device).build()
    progress("self-test", None)
    decoder.self_test = self_test(decoder.linears())
    return decoder


def choose_device(wanted: str) -> str:
    """cuda where torch has it, unless the settings say otherwise."""
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_dtype(path: LinearPath, wanted: str, found: str) -> torch.dtype:
    """What is computed in. float16 checkpoints run in bfloat16, or in float32 where that was chosen."""
    chosen = {LinearPath.BF16_PACKED: torch.bfloat16, LinearPath.FP32_PACKED: torch.float32}.get(path)
    if chosen is None:
        chosen = torch.float32 if wanted == "float32" or (wanted == "auto" and found == "float32") else torch.bfloat16
    if found == "float16":
        log.warning("a float16 checkpoint runs in another type", dtype=str(chosen).removeprefix("torch."))
    return chosen


class _Builder:
    """Takes the tensors in the order of the layers, packs each linear at once and keeps no second copy."""

    def __init__(
        self, config: ModelConfig, checkpoint: Checkpoint, path: LinearPath, dtype: torch.dtype, device: str
    ) -> None:
        self._config = config
        self._checkpoint = checkpoint
        self._path = path
        self._dtype = dtype
        self._device = device

    def build(self) -> Decoder:
        config = self._config
        table = (config.vocab_size, config.hidden_size)
        embedding = self._vector("model.embed_tokens.weight", *table)
        layers = [self._layer(f"model.layers.{index}.") for index in range(config.num_layers)]
        final_norm = self._vector("model.norm.weight", config.hidden_size)
        head = embedding if config.is_tied else self._tensor("lm_head.weight", *table)
        decoder = Decoder(config, embedding, layers, final_norm, Linear(head, None, self._path, is_fused=False))
        self._checkpoint.finish(("lm_head.weight",) if config.is_tied else ())
        return decoder

    def _layer(self, prefix: str) -> Layer:
        config = self._config
        hidden, inner = config.hidden_size, config.intermediate_size
        q, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        attention, mlp = prefix + "self_attn.", prefix + "mlp."
        norms: list[Tensor | None] = [None, None]
        if config.has_qk_norm:
            norms = [self._vector(f"{attention}{name}_norm.weight", config.head_dim) for name in "qk"]
        return Layer(
            input_norm=self._vector(prefix + "input_layernorm.weight", hidden),
            qkv=self._qkv(attention, q, kv),
            q_norm=norms[0],
            k_norm=norms[1],
            o=self._linear(attention + "o_proj", hidden, q, config.has_o_bias),
            post_attention_norm=self._vector(prefix + "post_attention_layernorm.weight", hidden),
            gate=self._linear(mlp + "gate_proj", inner, hidden, config.has_mlp_bias),
            up=self._linear(mlp + "up_proj", inner, hidden, config.has_mlp_bias),
            down=self._linear(mlp + "down_proj", hidden, inner, config.has_mlp_bias),
        )

    def _qkv(self, prefix: str, q: int, kv: int) -> Linear:
        parts = (("q_proj", q), ("k_proj", kv), ("v_proj", kv))
        weight = torch.cat([self._tensor(f"{prefix}{n}.weight", rows, self._config.hidden_size) for n, rows in parts])
        bias = None
        if self._config.has_qkv_bias:
            bias = torch.cat([self._tensor(f"{prefix}{name}.bias", rows) for name, rows in parts])
        return Linear(weight, bias, self._path)

    def _linear(self, name: str, rows: int, columns: int, has_bias: bool) -> Linear:
        bias = self._tensor(name + ".bias", rows) if has_bias else None
        return Linear(self._tensor(name + ".weight", rows, columns), bias, self._path)

    def _tensor(self, name: str, *shape: int) -> Tensor:
        """In the type and on the device of the computation; still the mapped file where neither changes."""
        return self._checkpoint.take(name, shape).to(self._device, self._dtype)

    def _vector(self, name: str, *shape: int) -> Tensor:
        """A copy of its own, since the file is closed after loading."""
        return self._tensor(name, *shape).clone()


def fingerprint(folder: Path, decoder: Decoder, block_size: int) -> str:
    """A name for all that decides the bits of an output: equal names, equal outputs for equal seeded requests.

    Of each weights file its size and samples are hashed, which tells checkpoints apart without reading them whole.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in _weight_files(folder):
        digest.update(_sample(path))
    test = decoder.self_test
    parts = (
        decoder.dtype,
        decoder.device.type,
        test and (test.path, test.min_rows, test.row_block),
        block_size,
        (ensue.__version__, torch.__version__, numba.__version__, platform.machine()),
        torch.backends.cpu.get_cpu_capability() if decoder.device.type == "cpu" else torch.cuda.get_device_name(),
    )
    digest.update(repr(parts).encode())
    return f"fp_{digest.hexdigest()}"


def _weight_files(folder: Path) -> list[Path]:
    names = [path for path in sorted(folder.glob("*.safetensors")) if (folder / INDEX).is_file() or path.name == SINGLE]
    return [folder / "config.json", *names]


def _sample(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        pieces = [str(size).encode()]
        for number in range(_NUM_SAMPLES):
            file.seek(number * max(0, size - _SAMPLED_BYTES) // (_NUM_SAMPLES - 1))  # the last sample ends the file
            pieces.append(file.read(_SAMPLED_BYTES))
    return hashlib.blake2b(b"".join(pieces)).digest()
