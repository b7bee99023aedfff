"""What config.json and generation_config.json say of a model, checked and typed. No tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ensue.errors import ConfigError, ModelError

RopeKind = Literal["default", "linear", "dynamic", "yarn", "llama3"]
ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
DEFAULT_ROPE_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """How positions become angles; see rope.py for the formulas. Only the fields of its kind are read."""

    kind: RopeKind = "default"
    theta: float = DEFAULT_ROPE_THETA
    factor: float = 1.0
    original_length: int = 0  # positions seen before the scaling
    low_freq_factor: float = 1.0  # llama3
    high_freq_factor: float = 4.0
    attention_factor: float | None = None  # yarn
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True


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
    top_k: int | None = None
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
    raw = read_json(folder / "config.json")
    architecture = _architecture(raw)
    _refuse_variants(raw)
    fields = _Fields(raw)
    num_heads, hidden_size = fields.count("num_attention_heads"), fields.count("hidden_size")
    num_layers = fields.count("num_hidden_layers")
    rope = _rope(raw, fields)
    return ModelConfig(
        architecture=architecture,
        hidden_size=hidden_size,
        intermediate_size=fields.count("intermediate_size"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=_num_kv_heads(fields, num_heads),
        head_dim=fields.count("head_dim", _head_dim(architecture, hidden_size, num_heads)),
        vocab_size=fields.count("vocab_size"),
        max_model_len=_max_model_len(fields, rope, max_model_len),
        rms_norm_eps=fields.number("rms_norm_eps", 1e-6),
        rope=rope,
        sliding_windows=_sliding_windows(architecture, raw, num_layers),
        has_qkv_bias=architecture == "Qwen2ForCausalLM"
        or (_may_have_bias(architecture) and bool(raw.get("attention_bias"))),
        has_o_bias=_may_have_bias(architecture) and bool(raw.get("attention_bias")),
        has_mlp_bias=architecture == "LlamaForCausalLM" and bool(raw.get("mlp_bias")),
        has_qk_norm=architecture == "Qwen3ForCausalLM",
        is_tied=bool(raw.get("tie_word_embeddings", False)),
        dtype=str(raw.get("dtype") or raw.get("torch_dtype") or "float32").removeprefix("torch."),
        end_token_ids=_end_token_ids(raw, folder),
    )


def load_sampling_defaults(folder: Path) -> SamplingDefaults:
    """The sampling settings of generation_config.json; nothing where there is no such file."""
    raw = _read_optional(folder / "generation_config.json")
    if raw.get("do_sample") is False:
        return SamplingDefaults(temperature=0.0)
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    return SamplingDefaults(**{name: raw[name] for name in names if isinstance(raw.get(name), int | float)})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the model.

    Raises:
        ModelError: no file, not JSON, not an object.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"The model folder has no {path.name}.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"The model's {path.name} cannot be read: {error}.") from None
    if not isinstance(value, dict):
        raise ModelError(f"The model's {path.name} is not a JSON object.")
    return value


class _Fields:
    """Checked access to config.json."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self._raw = raw

    def count(self, name: str, default: int | None = None) -> int:
        value = self._raw.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(f"{name} in the model's config.json must be a whole number above 0, not {value!r}.")
        return value

    def number(self, name: str, default: float) -> float:
        value = self._raw.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ModelError(f"{name} in the model's config.json must be a number above 0, not {value!r}.")
        return float(value)


def _architecture(raw: dict[str, Any]) -> str:
    names = raw.get("architectures") or []
    known = [name for name in names if name in ARCHITECTURES]
    if not known:
        found = ", ".join(map(str, names)) or "none"
        raise ModelError(f"The model's architecture ({found}) is not one of {', '.join(ARCHITECTURES)}.")
    return str(known[0])


def _refuse_variants(raw: dict[str, Any]) -> None:
    """What would need other arithmetic than the decoder's."""
    if raw.get("quantization_config"):
        raise ModelError("The checkpoint is quantised (quantization_config in config.json), which is not supported.")
    if raw.get("hidden_act", "silu") != "silu":
        raise ModelError(f"hidden_act in the model's config.json must be silu, not {raw['hidden_act']!r}.")
    rope = raw.get("rope_parameters") or {}
    if raw.get("partial_rotary_factor", rope.get("partial_rotary_factor", 1.0)) not in (None, 1, 1.0):
        raise ModelError("partial_rotary_factor other than 1 in the model's config.json is not supported.")


def _may_have_bias(architecture: str) -> bool:
    return architecture in ("LlamaForCausalLM", "Qwen3ForCausalLM")


def _head_dim(architecture: str, hidden_size: int, num_heads: int) -> int:
    return 128 if architecture == "Qwen3ForCausalLM" else hidden_size // num_heads


def _num_kv_heads(fields: _Fields, num_heads: int) -> int:
    num_kv_heads = fields.count("num_key_value_heads", num_heads)
    if num_heads % num_kv_heads:
        raise ModelError(
            f"num_attention_heads ({num_heads}) in the model's config.json must be a multiple of "
            f"num_key_value_heads ({num_kv_heads})."
        )
    return num_kv_heads


def _rope(raw: dict[str, Any], fields: _Fields) -> RopeConfig:
    """Both spellings: `rope_parameters`, and `rope_theta` beside `rope_scaling` with `rope_type` or `type`."""
    given = {**(raw.get("rope_scaling") or {}), **(raw.get("rope_parameters") or {})}
    kind: RopeKind = given.get("rope_type") or given.get("type") or "default"
    if kind not in get_args(RopeKind):
        raise ModelError(f"The model's rope type {kind!r} is not one of {', '.join(get_args(RopeKind))}.")
    length = fields.count("max_position_embeddings", 2048)
    names = (
        "low_freq_factor",
        "high_freq_factor",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
    )
    more = {name: float(given[name]) for name in names if given.get(name) is not None}
    original = given.get("original_max_position_embeddings") or raw.get("original_max_position_embeddings") or length
    theta = given.get("rope_theta") or raw.get("rope_theta") or DEFAULT_ROPE_THETA
    factor = given.get("factor")
    if factor is None:
        factor = length / original if kind == "yarn" else 1.0
    return RopeConfig(kind, float(theta), float(factor), int(original), truncate=given.get("truncate", True), **more)


def _max_model_len(fields: _Fields, rope: RopeConfig, wanted: int | None) -> int:
    """The model's own length, or a wanted one within the positions that its rope was made for."""
    own = longest = fields.count("max_position_embeddings", 2048)
    if rope.kind == "dynamic":
        own = longest = min(
            own, rope.original_length
        )  # beyond it the angles of all positions would change as text grows
    if rope.kind == "yarn":
        longest = max(own, int(rope.original_length * rope.factor))
    if wanted is not None and wanted > longest:
        raise ConfigError(f"--max-model-len {wanted} is longer than the {longest} positions that this model knows.")
    return own if wanted is None else wanted


def _sliding_windows(architecture: str, raw: dict[str, Any], num_layers: int) -> tuple[int | None, ...]:
    window = raw.get("sliding_window")
    if architecture == "LlamaForCausalLM" or window is None:
        return (None,) * num_layers
    if architecture == "MistralForCausalLM":
        return (int(window),) * num_layers
    if not raw.get("use_sliding_window", False):
        return (None,) * num_layers
    first = raw.get("max_window_layers", 28)
    kinds = raw.get("layer_types") or [
        "sliding_attention" if i >= first else "full_attention" for i in range(num_layers)
    ]
    return tuple(int(window) if kind == "sliding_attention" else None for kind in kinds)


def _end_token_ids(raw: dict[str, Any], folder: Path) -> tuple[int, ...]:
    """The union of both files; each may have one id, several or none."""
    ids: set[int] = set()
    for value in (raw.get("eos_token_id"), _read_optional(folder / "generation_config.json").get("eos_token_id")):
        ids |= set(value if isinstance(value, list) else [] if value is None else [value])
    return tuple(sorted(ids))


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
