"""Checkpoints: shards, types, what is missing or too much, and how much memory loading takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ensue.config import EngineConfig
from ensue.errors import ModelError
from ensue.model.loader import INDEX, SINGLE
from ensue.model.registry import fingerprint, load_model
from tests.model.checkpoints import Case, make

pytestmark = pytest.mark.usefixtures("one_thread")
LLAMA = Case("llama")


def load(folder: Path, dtype: str = "float32") -> Any:
    return load_model(folder, EngineConfig(dtype=dtype), lambda phase, fraction: None)  # type: ignore[arg-type]


def rewrite(folder: Path, change: Any) -> None:
    tensors: dict[str, Tensor] = load_file(folder / SINGLE)
    change(tensors)
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})


def test_shards_load_as_one_file_does(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    make(whole, LLAMA)
    make(parts, LLAMA, max_shard_size="100KB")
    assert len(list(parts.glob("*.safetensors"))) > 2
    x = torch.ones(4, 64)
    assert torch.equal(load(whole).logits(x), load(parts).logits(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_every_float_type_loads_in_both_arithmetics(tmp_path: Path, dtype: torch.dtype) -> None:
    make(tmp_path, LLAMA, dtype)
    assert load(tmp_path, "float32").dtype is torch.float32
    assert load(tmp_path, "bfloat16").dtype is torch.bfloat16


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    rewrite(tmp_path, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(
        ModelError, match=r"no tensor model.layers.1.mlp.up_proj.weight, expected with shape \[96, 64\]"
    ):
        load(tmp_path)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    rewrite(tmp_path, lambda tensors: tensors.update({"model.norm.weight": torch.ones(63)}))
    with pytest.raises(ModelError, match=r"model.norm.weight has shape \[63\], expected \[64\]"):
        load(tmp_path)


def test_a_tensor_of_another_type_is_named(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    rewrite(tmp_path, lambda tensors: tensors.update({"model.norm.weight": torch.ones(64, dtype=torch.int8)}))
    with pytest.raises(ModelError, match=r"model.norm.weight has type I8, expected one of BF16"):
        load(tmp_path)


def test_tensors_too_many_are_named(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    rewrite(tmp_path, lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(64)}))
    with pytest.raises(ModelError, match=r"tensors that this architecture does not: .*q_proj.bias"):
        load(tmp_path)


def test_frequencies_written_by_old_exports_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    rewrite(tmp_path, lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}))
    assert load(tmp_path).config.num_layers == 3


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    (tmp_path / SINGLE).rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"neither .* \(pytorch_model.bin is a pickle"):
        load(tmp_path)


ENTRY = '{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]'
HEADERS = {
    "two tensors of one name": f'{{"a": {ENTRY}}}, "a": {ENTRY}}}}}',
    "deep nesting where nobody reads": f'{{"a": {ENTRY}, "x": {"[" * 99_999}{"]" * 99_999}}}}}',
    "a number without end where nobody reads": f'{{"a": {ENTRY}, "x": {"9" * 9999}}}}}',
    "control characters in a name": f'{{"\\u001b[31m": {ENTRY}}}, "\\u001b[32m": {ENTRY}}}}}',
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_can_be_read_in_two_ways_or_not_at_all_is_refused(tmp_path: Path, header: str) -> None:
    make(tmp_path, LLAMA)
    (tmp_path / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 4)
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read: [ -~]+$"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "a/b.safetensors", "weights.bin", 7])
def test_an_index_that_leaves_the_folder_is_refused(tmp_path: Path, name: object) -> None:
    make(tmp_path, LLAMA)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    with pytest.raises(ModelError, match="of the same folder"):
        load(tmp_path)


def test_an_index_with_tensors_that_its_file_lacks_is_refused(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"model.extra.weight": SINGLE}}))
    with pytest.raises(ModelError, match=r"lacks model.extra.weight"):
        load(tmp_path)


def test_a_tensor_that_the_index_does_not_name_is_refused(tmp_path: Path) -> None:
    make(tmp_path, LLAMA, max_shard_size="100KB")
    places = json.loads((tmp_path / INDEX).read_text())["weight_map"]
    del places["model.norm.weight"]
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": places}))
    with pytest.raises(ModelError, match=r"has model.norm.weight, which its index does not name"):
        load(tmp_path)


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    make(tmp_path, LLAMA, max_shard_size="100KB")
    min(tmp_path.glob("model-*")).unlink()
    with pytest.raises(ModelError, match=r"file model-00001-of-.*, which its index names, is missing"):
        load(tmp_path)


def test_weights_that_are_a_link_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make(folder, LLAMA)
    (folder / SINGLE).rename(tmp_path / SINGLE)
    (folder / SINGLE).symlink_to(tmp_path / SINGLE)
    with pytest.raises(ModelError, match=r"model.safetensors is a link that leads out"):
        load(folder)


def test_what_an_error_repeats_of_a_file_is_printable(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    rewrite(tmp_path, lambda tensors: tensors.update({"\x1b[31mred": torch.ones(2)}))
    with pytest.raises(ModelError, match=r"does not: \?\[31mred with shape \[2\]\."):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, (10**12).to_bytes(8, "little") + b"{}"])
def test_a_malformed_file_is_refused(tmp_path: Path, content: bytes) -> None:
    make(tmp_path, LLAMA)
    (tmp_path / SINGLE).write_bytes(content)
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read"):
        load(tmp_path)


def test_a_tied_model_may_name_its_one_table_either_way(tmp_path: Path) -> None:
    make(tmp_path, Case("llama", {"tie_word_embeddings": True}))
    expected = load(tmp_path).logits(torch.ones(4, 64))
    rewrite(tmp_path, lambda tensors: tensors.update({"lm_head.weight": tensors.pop("model.embed_tokens.weight")}))
    assert torch.equal(load(tmp_path).logits(torch.ones(4, 64)), expected)


def test_a_tied_model_with_a_head_of_its_own_uses_it(tmp_path: Path) -> None:
    make(tmp_path, Case("llama", {"tie_word_embeddings": True}))
    rewrite(tmp_path, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(300, 64)}))
    assert not load(tmp_path).logits(torch.ones(4, 64)).any()


def test_a_float16_checkpoint_is_run_in_another_type_and_says_so(tmp_path: Path) -> None:
    make(tmp_path, LLAMA, torch.float16)
    with structlog.testing.capture_logs() as logs:
        load(tmp_path, "bfloat16")
    assert [entry["dtype"] for entry in logs if "float16 checkpoint" in entry["event"]] == ["bfloat16"]


def test_progress_counts_bytes_up_to_all_of_them(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    seen: list[float] = []
    load_model(tmp_path, EngineConfig(), lambda phase, part: seen.append(part or 0.0) if phase == "weights" else None)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_the_fingerprint_tells_weights_and_arithmetic_apart(tmp_path: Path) -> None:
    make(tmp_path, LLAMA)
    first = fingerprint(tmp_path, load(tmp_path), 64)
    assert fingerprint(tmp_path, load(tmp_path), 64) == first
    assert fingerprint(tmp_path, load(tmp_path, "bfloat16"), 64) != first
    rewrite(tmp_path, lambda tensors: tensors["model.norm.weight"].add_(1e-6))
    assert fingerprint(tmp_path, load(tmp_path), 64) != first


MEASURE = """
import sys, threading, time
from pathlib import Path
from ensue.config import EngineConfig
from ensue.model import devices
from ensue.model.registry import load_model

devices.set_num_threads(1)

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

load_model(Path(sys.argv[2]), EngineConfig(dtype="bfloat16"), lambda phase, fraction: None)  # warms the libraries
before, peak, is_loading = anonymous(), 0, True

def watch():
    global peak
    while is_loading:
        peak = max(peak, anonymous())
        time.sleep(0.001)

def progress(phase, fraction):
    global is_loading
    is_loading = phase == "weights"

thread = threading.Thread(target=watch)
thread.start()
model = load_model(Path(sys.argv[1]), EngineConfig(dtype="bfloat16"), progress)
thread.join()
print(peak - before)
"""


@pytest.mark.parametrize(("is_tied", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_loading_takes_little_more_memory_than_the_weights(tmp_path: Path, is_tied: bool, dtype: torch.dtype) -> None:
    """Peak anonymous memory ≤ 1.15 × the weights + one packed copy of a tied head."""
    wide = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "vocab_size": 8000, "head_dim": 64}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4, "tie_word_embeddings": is_tied}
    make(tmp_path / "wide", Case("llama", wide | heads), dtype)
    make(tmp_path / "tiny", LLAMA, dtype)
    weights = (tmp_path / "wide" / SINGLE).stat().st_size
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "wide"), str(tmp_path / "tiny")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    head = 8000 * 512 * 2 if is_tied else 0
    assert int(result.stdout.split()[-1]) <= 1.15 * weights + head  # after the notice on float16
