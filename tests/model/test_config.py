"""config.json and generation_config.json: what is read, what is refused, and with which sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ensue.errors import ConfigError, ModelError
from ensue.model.config import SamplingDefaults, load_config, load_sampling_defaults

LLAMA3_8B = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
QWEN: dict[str, Any] = {"architectures": ["Qwen2ForCausalLM"], "use_sliding_window": True, "sliding_window": 64}
GENERATION = {"do_sample": True, "eos_token_id": [128001, 128009], "temperature": 0.6, "top_p": 0.9}


def write(folder: Path, *, generation: dict[str, Any] | None = None, **changes: Any) -> Path:
    config = {key: value for key, value in {**LLAMA3_8B, **changes}.items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def test_a_look_alike_of_llama_3_is_read(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, generation=GENERATION))
    assert (config.num_heads, config.num_kv_heads, config.head_dim, config.max_model_len) == (32, 8, 128, 8192)
    assert config.end_token_ids == (128001, 128009)
    assert config.rope.theta == 500_000.0
    assert config.dtype == "bfloat16"


def test_both_spellings_of_rope_mean_the_same(tmp_path: Path) -> None:
    scaling = {"type": "linear", "factor": 4.0}
    old = load_config(write(tmp_path, rope_scaling=scaling))
    new = load_config(
        write(
            tmp_path,
            rope_scaling="absent",
            rope_theta="absent",
            rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 500_000.0},
        )
    )
    assert old == new
    assert (old.rope.kind, old.rope.factor) == ("linear", 4.0)


def test_windows_are_per_layer_as_each_family_has_them(tmp_path: Path) -> None:
    mistral = write(tmp_path, architectures=["MistralForCausalLM"], sliding_window=64)
    assert load_config(mistral).sliding_windows == (64,) * 32
    qwen: dict[str, Any] = {"architectures": ["Qwen2ForCausalLM"], "sliding_window": 64, "max_window_layers": 30}
    assert load_config(write(tmp_path, **qwen)).sliding_windows == (None,) * 32
    assert load_config(write(tmp_path, **qwen, use_sliding_window=True)).sliding_windows[29:] == (None, 64, 64)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, r"architecture \(GPT2LMHeadModel\) is not one of LlamaForCausalLM"),
        ({"architectures": "absent"}, r"architecture \(none\)"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"hidden_act": "gelu"}, "hidden_act .* must be silu, not 'gelu'"),
        ({"architectures": "LlamaForCausalLM"}, "architectures .* must be a list of names"),
        ({"num_hidden_layers": 0}, "num_hidden_layers .* whole number from 1 to .*, not 0"),
        ({"num_hidden_layers": 10**30}, "num_hidden_layers .* whole number from 1"),
        ({"hidden_size": "absent"}, "lacks hidden_size, which must be a whole number"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps .* must be a number above 0, not nan"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings .* must be true or false, not 'no'"),
        ({"head_dim": 15}, "needs an even number"),
        ({"eos_token_id": "</s>"}, "eos_token_id .* must be a token id or a list"),
        ({"vocab_size": "many"}, "vocab_size .* not 'many'"),
        ({"num_key_value_heads": 5}, r"multiple of num_key_value_heads \(5\)"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "rope type 'longrope' is not one of default"),
        ({"rope_scaling": "linear"}, "rope_scaling .* must be an object"),
        ({"rope_scaling": {"rope_type": "linear"}}, "lacks factor"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "lacks low_freq_factor"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": "4"}}, "factor .* must be a number above 0, not '4'"),
        ({"rope_parameters": {"full_attention": {}}}, "differ by layer"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor .* must be 1"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor .* must be 1"),
        ({**QWEN, "sliding_window": 0}, "sliding_window .* whole number from 1"),
        ({**QWEN, "layer_types": ["full_attention"]}, "layer_types .* must be 32 times"),
        ({**QWEN, "layer_types": ["chunked_attention"] * 32}, "layer_types .* must be 32 times"),
        ({**QWEN, "use_sliding_window": False, "layer_types": ["sliding_attention"] * 32}, "there is no window"),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        load_config(write(tmp_path, **changes))


@pytest.mark.parametrize("content", ["", "[]", "{", "\xff", "[" * 100_000])
def test_a_broken_config_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=r"config\.json"):
        load_config(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder, generation=GENERATION)
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(ModelError, match=f"{name} is a link that leads out"):
        load_config(folder)


def test_a_snapshot_may_link_to_the_files_of_its_repository_in_the_hubs_cache(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--org--name" / "blobs").mkdir()
    write(tmp_path / "models--org--name" / "blobs")
    (snapshot / "config.json").symlink_to("../../blobs/config.json")
    assert load_config(snapshot).num_layers == 32


def test_what_is_no_ordinary_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ModelError, match="not an ordinary file"):
        load_config(tmp_path)


def test_an_end_token_beyond_the_vocabulary_is_none(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, generation=GENERATION, vocab_size=128_005)).end_token_ids == (128_001,)


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_config(tmp_path)


def test_the_context_can_be_shortened_but_not_lengthened(tmp_path: Path) -> None:
    assert load_config(write(tmp_path), 100).max_model_len == 100
    with pytest.raises(ConfigError, match="8193 is longer than the 8192 positions"):
        load_config(write(tmp_path), 8193)


def test_yarn_may_use_what_it_was_made_for_and_dynamic_only_its_original_length(tmp_path: Path) -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192}
    assert load_config(write(tmp_path, rope_scaling=yarn), 32768).max_model_len == 32768
    with pytest.raises(ConfigError, match="longer than the 16777216 positions"):
        load_config(write(tmp_path, rope_scaling={**yarn, "factor": 1e308}), 2**24 + 1)
    dynamic = {"rope_type": "dynamic", "factor": 4.0}
    with pytest.raises(ConfigError, match="8192 positions"):
        load_config(write(tmp_path, rope_scaling=dynamic), 32768)


def test_sampling_defaults_come_from_generation_config(tmp_path: Path) -> None:
    assert load_sampling_defaults(tmp_path) == SamplingDefaults()
    assert load_sampling_defaults(write(tmp_path, generation=GENERATION)) == SamplingDefaults(
        temperature=0.6, top_p=0.9
    )
    assert load_sampling_defaults(write(tmp_path, generation={"do_sample": False})).temperature == 0.0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"top_k": -1, "min_p": 0}, SamplingDefaults(top_k=0, min_p=0.0)),
        ({"top_k": 20, "top_p": 1}, SamplingDefaults(top_k=20, top_p=1.0)),
        ({"temperature": 0.0}, SamplingDefaults(temperature=0.0)),
        (
            {"do_sample": False, "top_p": 0.5, "repetition_penalty": 1.1},
            SamplingDefaults(temperature=0.0, repetition_penalty=1.1),
        ),
    ],
)
def test_sampling_defaults_are_read_as_they_are_meant(
    tmp_path: Path, given: dict[str, Any], expected: SamplingDefaults
) -> None:
    assert load_sampling_defaults(write(tmp_path, generation=given)) == expected


def test_a_sampling_default_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"top_p in the model's generation_config\.json must be a number"):
        load_sampling_defaults(write(tmp_path, generation={"top_p": "high"}))
