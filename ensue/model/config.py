"""What config.json and generation_config.json say of a model, checked and typed. No tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ensue.errors import ConfigError, ModelError, shown
from ensue.model.files import MOST, Fields, read_json
from ensue.model.rope_config import RopeConfig, read_rope
from ensue.model_folder import find

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between the architectures; the numbers stand for fields that a config.json leaves out.

    All as transformers has it in `models/*/configuration_*.py` and `models/*/modeling_*.py`.
    """

    max_positions: int
    num_kv_heads: int | None = None  # None: as many as heads
    head_dim: int | None = None  # None: hidden_size / heads
    sliding_window: int | None = None
    windows: Literal["none", "all", "some"] = "none"  # which layers may have one
    has_qkv_bias: bool = False  # whatever the fields say
    reads_attention_bias: bool = False
    reads_mlp_bias: bool = False
    has_qk_norm: bool = False


FAMILIES = {
    "LlamaForCausalLM": Family(2048, reads_attention_bias=True, reads_mlp_bias=True),
    "MistralForCausalLM": Family(131_072, num_kv_heads=8, sliding_window=4096, windows="all"),
    "Qwen2ForCausalLM": Family(32_768, num_kv_heads=32, sliding_window=4096, windows="some", has_qkv_bias=True),
    "Qwen3ForCausalLM": Family(
        32_768,
        num_kv_heads=32,
        head_dim=128,
        sliding_window=4096,
        windows="some",
        reads_attention_bias=True,
        has_qk_norm=True,
    ),
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a Llama-like decoder."""

    architecture: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int  # the logits' width
    max_model_len: int  # longest sequence that may be computed
    rms_norm_eps: float
    rope: RopeConfig
    sliding_windows: tuple[int | None, ...]  # per layer: positions that a row sees, itself included
    has_qkv_bias: bool
    has_o_bias: bool
    has_mlp_bias: bool
    has_qk_norm: bool
    is_tied: bool
    dtype: str  # of the checkpoint
    end_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """What generation_config.json recommends; None where it says nothing."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None  # 0: off
    min_p: float | None = None
    repetition_penalty: float | None = None


def load_config(folder: Path, max_model_len: int | None = None) -> ModelConfig:
    """Read a model folder's configuration.

    Args:
        max_model_len: a shorter (or, within what rope allows, longer) context than the model's own.

    Raises:
        ModelError: not a model that can be served; the message names the field.
        ConfigError: max_model_len is longer than the positions that the model knows.
    """
    fields = Fields(read_json(folder, CONFIG), CONFIG)
    architecture = _architecture(fields)
    family = FAMILIES[architecture]
    _refuse_variants(fields)
    hidden_size, num_layers = fields.count("hidden_size"), fields.count("num_hidden_layers")
    num_heads, vocab_size = fields.count("num_attention_heads"), fields.count("vocab_size")
    max_positions = fields.count("max_position_embeddings", family.max_positions)
    rope = read_rope(fields, max_positions)
    has_attention_bias = family.reads_attention_bias and fields.flag("attention_bias")
    return ModelConfig(
        architecture=architecture,
        hidden_size=hidden_size,
        intermediate_size=fields.count("intermediate_size"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=_num_kv_heads(family, fields, num_heads),
        head_dim=_head_dim(family, fields, hidden_size, num_heads),
        vocab_size=vocab_size,
        max_model_len=_max_model_len(max_positions, rope, max_model_len),
        rms_norm_eps=fields.number("rms_norm_eps", 1e-6),
        rope=rope,
        sliding_windows=_sliding_windows(family, fields, num_layers),
        has_qkv_bias=family.has_qkv_bias or has_attention_bias,
        has_o_bias=has_attention_bias,
        has_mlp_bias=family.reads_mlp_bias and fields.flag("mlp_bias"),
        has_qk_norm=family.has_qk_norm,
        is_tied=fields.flag("tie_word_embeddings"),
        dtype=str(fields.get("dtype") or fields.get("torch_dtype") or "float32").removeprefix("torch."),
        end_token_ids=_end_token_ids(fields, _generation_fields(folder), vocab_size),
    )


def load_sampling_defaults(folder: Path) -> SamplingDefaults:
    """The sampling settings of generation_config.json; nothing where there is no such file.

    Raises:
        ModelError: a setting that is no number.
    """
    fields = _generation_fields(folder)
    repetition_penalty = fields.optional_number("repetition_penalty")
    if fields.get("do_sample") is False or fields.get("temperature") == 0:
        return SamplingDefaults(temperature=0.0, repetition_penalty=repetition_penalty)
    return SamplingDefaults(
        temperature=fields.optional_number("temperature"),
        top_p=fields.optional_number("top_p"),
        top_k=None if fields.get("top_k") is None else max(0, fields.count("top_k", low=-1)),
        min_p=0.0 if fields.get("min_p") == 0 else fields.optional_number("min_p"),
        repetition_penalty=repetition_penalty,
    )


def _generation_fields(folder: Path) -> Fields:
    is_there = find(folder, GENERATION_CONFIG) is not None
    return Fields(read_json(folder, GENERATION_CONFIG) if is_there else {}, GENERATION_CONFIG)


def _architecture(fields: Fields) -> str:
    names = fields.get("architectures") or []
    if not isinstance(names, list):
        raise fields.wrong("architectures", "a list of names")
    for name in names:
        if isinstance(name, str) and name in FAMILIES:
            return name
    found = ", ".join(shown(str(name)) for name in names) or "none"
    raise ModelError(f"The model's architecture ({found}) is not one of {', '.join(FAMILIES)}.")


def _refuse_variants(fields: Fields) -> None:
    """What would need other arithmetic than the decoder's."""
    if fields.get("quantization_config"):
        raise ModelError("The checkpoint is quantised (quantization_config in config.json), which is not supported.")
    if fields.get("hidden_act") not in (None, "silu", "swish"):
        raise fields.wrong("hidden_act", "silu")


def _head_dim(family: Family, fields: Fields, hidden_size: int, num_heads: int) -> int:
    head_dim = fields.count("head_dim", family.head_dim or hidden_size // num_heads)
    if head_dim % 2:
        raise ModelError(f"The model's heads have {head_dim} dimensions; rope turns pairs and needs an even number.")
    return head_dim


def _num_kv_heads(family: Family, fields: Fields, num_heads: int) -> int:
    default = num_heads if "num_key_value_heads" in fields else family.num_kv_heads or num_heads
    num_kv_heads = fields.count("num_key_value_heads", default)
    if num_heads % num_kv_heads:
        raise ModelError(
            f"num_attention_heads ({num_heads}) in the model's config.json must be a multiple of "
            f"num_key_value_heads ({num_kv_heads})."
        )
    return num_kv_heads


def _max_model_len(own: int, rope: RopeConfig, wanted: int | None) -> int:
    """The model's own length, or a wanted one within the positions that its rope was made for."""
    longest = own
    if rope.kind == "dynamic":  # beyond it, the angles of all positions would change as the text grows
        own = longest = min(own, rope.original_length)
    if rope.kind == "yarn":
        longest = max(own, int(min(MOST, rope.original_length * rope.factor)))
    if wanted is not None and wanted > longest:
        raise ConfigError(f"--max-model-len {wanted} is longer than the {longest} positions that this model knows.")
    return own if wanted is None else wanted


def _sliding_windows(family: Family, fields: Fields, num_layers: int) -> tuple[int | None, ...]:
    """Per layer. Mistral has one window for all layers, Qwen one for some, if it is switched on."""
    window = _window(family, fields)
    if family.windows != "some":
        return (window,) * num_layers
    kinds = _layer_types(fields, num_layers)
    if window is None and "sliding_attention" in kinds and fields.get("layer_types"):
        raise ModelError("layer_types in the model's config.json names sliding_attention, but there is no window.")
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _window(family: Family, fields: Fields) -> int | None:
    """null means none; a field left out means the family's own."""
    if family.windows == "none" or (family.windows == "some" and not fields.flag("use_sliding_window")):
        return None
    if "sliding_window" in fields and fields.get("sliding_window") is None:
        return None
    return fields.count("sliding_window", family.sliding_window)


def _layer_types(fields: Fields, num_layers: int) -> list[str]:
    kinds: Any = fields.get("layer_types")
    first = fields.count("max_window_layers", 28, low=0)
    if kinds is None:
        return ["sliding_attention" if layer >= first else "full_attention" for layer in range(num_layers)]
    known = ("full_attention", "sliding_attention")
    if not isinstance(kinds, list) or len(kinds) != num_layers or not all(kind in known for kind in kinds):
        raise fields.wrong("layer_types", f"{num_layers} times full_attention or sliding_attention")
    return kinds


def _end_token_ids(config: Fields, generation: Fields, vocab_size: int) -> tuple[int, ...]:
    """The union of both files, each with one id, several or none; one beyond the logits' width can't be chosen."""
    ids: set[int] = set()
    for fields in (config, generation):
        value = fields.get("eos_token_id")
        found = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(token_id) is int for token_id in found):
            raise fields.wrong("eos_token_id", "a token id or a list of them")
        ids.update(token_id for token_id in found if 0 <= token_id < vocab_size)
    return tuple(sorted(ids))
