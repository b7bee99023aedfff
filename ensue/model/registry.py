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
from ensue.errors import ConfigError
from ensue.model.config import ModelConfig, load_config
from ensue.model.decoder import Decoder, Layer
from ensue.model.linear import Linear, LinearPath, choose_path
from ensue.model.loader import Checkpoint
from ensue.model.self_test import self_test
from ensue.model.weights_digest import weights_digest

Progress = Callable[[str, float | None], None]

log = structlog.get_logger(__name__)


def load_model(folder: Path, config: EngineConfig, progress: Progress) -> Decoder:
    """Load, pack and test a model.

    Raises:
        ModelError: the folder can't be served.
        ConfigError: the settings don't fit the model or the machine.
    """
    model = load_config(folder, config.max_model_len)
    device = choose_device(config.device)
    path = choose_path(config.linear_path, config.dtype, device)
    dtype = choose_dtype(path, config.dtype, model.dtype)
    with Checkpoint(folder, lambda fraction: progress("weights", fraction)) as checkpoint:
        if checkpoint.has_float16():
            log.warning("a float16 checkpoint runs in another type", dtype=str(dtype).removeprefix("torch."))
        decoder = _Builder(model, checkpoint, path, dtype, device).build()
    progress("self-test", None)
    decoder.self_test = self_test(decoder.linears())
    return decoder


def choose_device(wanted: str) -> str:
    """cuda where torch has it, unless the settings say otherwise.

    Raises:
        ConfigError: cuda is wanted and torch finds none.
    """
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise ConfigError("device is cuda, but this machine has no GPU that the installed PyTorch can use.")
    return ("cuda" if has_cuda else "cpu") if wanted == "auto" else wanted


def choose_dtype(path: LinearPath, wanted: str, found: str) -> torch.dtype:
    """What is computed in: what the path packs, else what is wanted, else float32 for checkpoints that say so."""
    match path:
        case LinearPath.BF16_PACKED:
            return torch.bfloat16
        case LinearPath.FP32_PACKED:
            return torch.float32
        case _:
            is_wide = wanted == "float32" or (wanted == "auto" and found == "float32")
            return torch.float32 if is_wide else torch.bfloat16


class _Builder:
    """Takes the tensors in the order of the layers, packs each linear at once and keeps no second copy.

    What must be converted or joined before it is packed goes through one buffer for all: buffers that come and go
    between allocations that stay would leave holes in the heap, half of the model's size together.
    """

    def __init__(
        self, config: ModelConfig, checkpoint: Checkpoint, path: LinearPath, dtype: torch.dtype, device: str
    ) -> None:
        self._config = config
        self._checkpoint = checkpoint
        self._path = path
        self._dtype = dtype
        self._device = device
        self._scratch = torch.empty(0, dtype=dtype)

    def build(self) -> Decoder:
        """The head and the embedding come first: while one of them is converted, nothing else is held yet."""
        config = self._config
        head, embedding = self._tables()
        layers = [self._layer(f"model.layers.{index}.") for index in range(config.num_layers)]
        final_norm = self._owned("model.norm.weight", config.hidden_size)
        self._checkpoint.finish()
        return Decoder(config, embedding, layers, final_norm, head)

    def _tables(self) -> tuple[Linear, Tensor]:
        """The packed head, and the embedding [vocab_size, hidden_size].

        A tied model has one table for both, under either name. Where it has both, each is used for its own, as
        transformers does: a checkpoint may have been trained further without changing that field.
        """
        shape = (self._config.vocab_size, self._config.hidden_size)
        head_name, embedding_name = "lm_head.weight", "model.embed_tokens.weight"
        if self._config.is_tied and not (head_name in self._checkpoint and embedding_name in self._checkpoint):
            table = self._owned(head_name if head_name in self._checkpoint else embedding_name, *shape)
            return Linear(table, None, self._path, is_fused=False), table
        head = Linear(self._owned(head_name, *shape), None, self._path, is_fused=False)
        return head, self._owned(embedding_name, *shape)

    def _layer(self, prefix: str) -> Layer:
        config = self._config
        hidden, inner = config.hidden_size, config.intermediate_size
        q, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        attention, mlp = prefix + "self_attn.", prefix + "mlp."
        norms: list[Tensor | None] = [None, None]
        if config.has_qk_norm:
            norms = [self._owned(f"{attention}{name}_norm.weight", config.head_dim) for name in "qk"]
        return Layer(
            input_norm=self._owned(prefix + "input_layernorm.weight", hidden),
            qkv=self._qkv(attention, q, kv),
            q_norm=norms[0],
            k_norm=norms[1],
            o=self._linear(attention + "o_proj", hidden, q, config.has_o_bias),
            post_attention_norm=self._owned(prefix + "post_attention_layernorm.weight", hidden),
            gate=self._linear(mlp + "gate_proj", inner, hidden, config.has_mlp_bias),
            up=self._linear(mlp + "up_proj", inner, hidden, config.has_mlp_bias),
            down=self._linear(mlp + "down_proj", hidden, inner, config.has_mlp_bias),
        )

    def _qkv(self, prefix: str, q: int, kv: int) -> Linear:
        parts, hidden = (("q_proj", q), ("k_proj", kv), ("v_proj", kv)), self._config.hidden_size
        bias = None
        if self._config.has_qkv_bias:
            bias = torch.cat([self._owned(f"{prefix}{name}.bias", rows) for name, rows in parts])
        weights = [self._checkpoint.take(f"{prefix}{name}.weight", (rows, hidden)) for name, rows in parts]
        return Linear(self._joined(weights), bias, self._path)

    def _linear(self, name: str, rows: int, columns: int, has_bias: bool) -> Linear:
        bias = self._owned(name + ".bias", rows) if has_bias else None
        weight = self._checkpoint.take(name + ".weight", (rows, columns))
        is_ready = weight.dtype is self._dtype and self._path is not LinearPath.PLAIN
        return Linear(weight if is_ready else self._joined([weight]), bias, self._path)

    def _joined(self, weights: list[Tensor]) -> Tensor:
        """One below the other and converted; in the shared buffer, except where there is no packing that copies."""
        rows, columns = sum(len(weight) for weight in weights), weights[0].shape[1]
        if self._path is LinearPath.PLAIN:
            out = torch.empty(rows, columns, dtype=self._dtype, device=self._device)
        else:
            if self._scratch.numel() < rows * columns:
                self._scratch = self._scratch.new_empty(rows * columns)
            out = self._scratch[: rows * columns].view(rows, columns)
        start = 0
        for weight in weights:
            out[start : start + len(weight)] = weight
            start += len(weight)
        return out

    def _owned(self, name: str, *shape: int) -> Tensor:
        """A copy: the file may be replaced after loading."""
        return self._checkpoint.take(name, shape).to(self._device, self._dtype, copy=True)


def fingerprint(folder: Path, decoder: Decoder, block_size: int) -> str:
    """A name for all that decides the bits of an output: equal names, equal outputs for equal seeded requests."""
    test = decoder.self_test
    parts = (
        decoder.dtype,
        decoder.device.type,
        test and (test.path, test.min_rows, test.row_block),
        block_size,
        (ensue.__version__, torch.__version__, numba.__version__, platform.machine()),
        _cpu_features() if decoder.device.type == "cpu" else torch.cuda.get_device_name(),
    )
    digest = hashlib.blake2b(weights_digest(folder), digest_size=8)
    digest.update(repr(parts).encode())
    return f"fp_{digest.hexdigest()}"


def _cpu_features() -> tuple[str, ...]:
    """By which torch's linear layers choose their kernels."""
    names = ("avx512_bf16", "vnni", "amx_tile", "amx_fp16")
    probes = {name: getattr(torch.cpu, f"_is_{name}_supported", None) for name in names}
    has = tuple(name for name, probe in probes.items() if probe is not None and probe())
    return (torch.backends.cpu.get_cpu_capability(), *has)
