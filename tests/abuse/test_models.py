"""List H: model folders and names that are traps."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ensue.tiny
from ensue.errors import ModelError
from ensue.text.tokenizer import Tokenizer

TINY = Path(ensue.tiny.__file__).parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "model"
    target.mkdir()
    for path in TINY.iterdir():
        if path.suffix in (".json", ".safetensors"):
            shutil.copy(path, target)
    return target


def rewrite(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the header of a safetensors file, and leave the data."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def started(model: str, data_dir: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "ensue", "serve", model, "--port", "0", "--data-dir", str(data_dir)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=data_dir, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def first_tensor(header: dict[str, object]) -> str:
    return next(name for name in sorted(header) if "layers.0." in name)


def drop(header: dict[str, object]) -> None:
    del header[first_tensor(header)]


def reshape(header: dict[str, object]) -> None:
    entry = header[first_tensor(header)]
    assert isinstance(entry, dict)
    entry["shape"] = [1, *entry["shape"]] if len(entry["shape"]) == 1 else entry["shape"][::-1]


def header_bomb(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")


def nested_bomb(path: Path) -> None:
    text = b'{"a":' * 100_000
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def pickled(path: Path) -> None:
    path.unlink()
    (path.parent / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))


def linked_out(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def doubled(path: Path) -> None:
    """Name a tensor twice."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    name, entry = next(
        (name, entry) for name, entry in json.loads(data[8 : 8 + size]).items() if name != "__metadata__"
    )
    text = f"{{{json.dumps(name)}: {json.dumps(entry)}, ".encode() + data[9 : 8 + size]
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def growing_text(path: Path) -> None:
    """A normalizer that writes ten characters for one, nine times over."""
    tokenizer = json.loads((path.parent / "tokenizer.json").read_text())
    steps = [{"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 10}] * 9
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": steps}
    (path.parent / "tokenizer.json").write_text(json.dumps(tokenizer))


def looping_template(path: Path) -> None:
    loops = "".join(f"{{% for {name} in range(99999) %}}" for name in "ab")
    (path.parent / "chat_template.jinja").write_text(loops + "{{ messages[0].content * 99999 }}" + "{% endfor %}" * 2)


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing tensor": (lambda path: rewrite(path, drop), "layers.0."),
    "wrong shape": (lambda path: rewrite(path, reshape), "layers.0."),
    "header bomb": (header_bomb, "model.safetensors"),
    "nested header": (nested_bomb, "model.safetensors"),
    "two tensors of one name": (doubled, "twice"),
    "normalizer bomb": (growing_text, "normalizer"),
    "template without end": (looping_template, "chat template takes too long"),
    "pickle": (pickled, "safetensors"),
    "link out of the folder": (linked_out, "model.safetensors"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:1000]), "model.safetensors"),
    "empty": (lambda path: path.write_bytes(b""), "model.safetensors"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_weights_end_the_start_with_a_sentence(folder: Path, tmp_path: Path, name: str) -> None:
    spoil, word = SPOILED[name]
    spoil(folder / "model.safetensors")
    code, printed = started(str(folder), tmp_path)
    assert code != 0
    assert word in printed, printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    "model", ["../../etc", "file:///etc/passwd", "/etc/passwd", "http://127.0.0.1:1/x", "a\x1b[31m"]
)
def test_names_that_are_no_models_end_the_start(tmp_path: Path, model: str) -> None:
    code, printed = started(model, tmp_path)
    assert code != 0
    assert "Traceback" not in printed
    assert "\x1b[31m" not in printed


def grown(path: Path) -> None:
    """To a size that takes no room on the disk, and all memory when it is read."""
    with path.open("ab") as file:
        file.truncate(2**42)


def large_id(path: Path) -> None:
    layout = json.loads(path.read_text())
    vocabulary = layout["model"]["vocab"]
    vocabulary[max(vocabulary, key=vocabulary.get)] = 2**31
    path.write_text(json.dumps(layout))


TOKENIZER_TRAPS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "sparse tokenizer": ("tokenizer.json", grown, "larger than"),
    "sparse settings": ("tokenizer_config.json", grown, "larger than"),
    "sparse template": ("chat_template.jinja", grown, "larger than"),
    "far ids": ("tokenizer.json", large_id, "ids above"),
    "no list": ("tokenizer_config.json", lambda path: path.write_text('{"extra_special_tokens": 5}'), "must be a list"),
    "deep": ("tokenizer_config.json", lambda path: path.write_text("[" * 100_000), "cannot be read"),
    "pipe": ("chat_template.jinja", os.mkfifo, "not an ordinary file"),
    "device": ("chat_template.jinja", lambda path: path.symlink_to("/dev/zero"), "not an ordinary file"),
}


@pytest.mark.parametrize("name", TOKENIZER_TRAPS)
def test_traps_beside_the_weights_are_refused_before_they_cost(folder: Path, name: str) -> None:
    file, spoil, sentence = TOKENIZER_TRAPS[name]
    spoil(folder / file)
    with pytest.raises(ModelError, match=sentence):
        Tokenizer.from_folder(folder)
