"""How a model turns positions into angles, as config.json says it: both spellings, checked. No tensors.

transformers 5 writes one object, `rope_parameters`; before, `rope_theta` stood beside `rope_scaling`, whose kind was
first called `type` and then `rope_type`. Which wins where several are given is transformers' rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from ensue.errors import ModelError, shown
from ensue.model.files import Fields

RopeKind = Literal["default", "linear", "dynamic", "yarn", "llama3"]
DEFAULT_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """What the formulas in rope.py read; each kind reads its own fields only.

    default: Su et al. 2021, "RoFormer". linear: Chen et al. 2023, "Extending Context Window of Large Language Models
    via Positional Interpolation". dynamic: NTK-aware scaling, which changes nothing up to the original length and is
    not served beyond. yarn: Peng et al. 2023, "YaRN". llama3: the code released with Llama 3.1.
    """

    kind: RopeKind = "default"
    theta: float = DEFAULT_THETA
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


def read_rope(fields: Fields, max_positions: int) -> RopeConfig:
    """The rope of a config.json whose `max_position_embeddings` is `max_positions`.

    Raises:
        ModelError: an unknown kind, a variant that turns only a part of each head, or a value that makes no sense.
    """
    given = fields.section("rope_scaling" if fields.get("rope_scaling") else "rope_parameters")
    for name in ("full_attention", "sliding_attention"):
        if name in given:
            raise ModelError("Rope parameters that differ by layer in the model's config.json are not supported.")
    for place in (fields, given):
        if place.get("partial_rotary_factor") not in (None, 1):
            raise place.wrong("partial_rotary_factor", "1 (other values are not supported)")
    kind = given.get("rope_type") or given.get("type") or "default"
    if kind not in get_args(RopeKind):
        raise ModelError(f"The model's rope type {shown(repr(kind))} is not one of {', '.join(get_args(RopeKind))}.")
    theta = given.number("rope_theta", fields.number("rope_theta", DEFAULT_THETA))
    original = given.count("original_max_position_embeddings", max_positions)
    if kind in ("llama3", "yarn"):  # for these, the one outside the object wins
        original = fields.count("original_max_position_embeddings", original)
    return _checked(_of_kind(cast(RopeKind, kind), given, theta, original, max_positions))


def _of_kind(kind: RopeKind, given: Fields, theta: float, original: int, max_positions: int) -> RopeConfig:
    match kind:
        case "linear":
            return RopeConfig(kind, theta, given.number("factor"), original)
        case "llama3":
            low, high = given.number("low_freq_factor"), given.number("high_freq_factor")
            return RopeConfig(kind, theta, given.number("factor"), original, low, high)
        case "yarn":
            return RopeConfig(
                kind,
                theta,
                given.number("factor", max_positions / original),
                original,
                attention_factor=given.optional_number("attention_factor"),
                beta_fast=given.number("beta_fast", 32.0),
                beta_slow=given.number("beta_slow", 1.0),
                mscale=given.optional_number("mscale"),
                mscale_all_dim=given.optional_number("mscale_all_dim"),
                truncate=given.flag("truncate", True),
            )
        case _:
            return RopeConfig(kind, theta, original_length=original)


def _checked(rope: RopeConfig) -> RopeConfig:
    if rope.high_freq_factor == rope.low_freq_factor:
        raise ModelError("high_freq_factor in the model's config.json must differ from low_freq_factor.")
    if rope.kind == "yarn" and rope.theta == 1:
        raise ModelError("rope_theta in the model's config.json must not be 1 for yarn.")
    return rope
