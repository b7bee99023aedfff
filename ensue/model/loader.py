"""A checkpoint's tensors, one at a time, from mapped safetensors files. Never reads a pickle.

Knows names, shapes and types, not what a tensor is for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ensue.errors import ModelError, shown
from ensue.model.files import read_json
from ensue.model_folder import find

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_FLOATS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_MAY_BE_EXTRA = ("rotary_emb.inv_freq",)  # written by old exports; computed here
MAX_REASON = 200
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Checkpoint:
    """The tensors of a model folder by name; each is taken once, and none may be left over."""

    def __init__(self, folder: Path, progress: Callable[[float], None]) -> None:
        """Open every file and read the headers; no tensor is read yet.

        Args:
            progress: told the share of bytes taken.

        Raises:
            ModelError: no safetensors, a file that can't be read, or an index that doesn't match its files.
        """
        self._files = ExitStack()
        self._progress = progress
        self._tensors: dict[str, _Entry] = {}
        with ExitStack() as files:
            for name, indexed in weight_files(folder).items():
                self._tensors |= _entries(files.enter_context(_open(folder, name)), name, indexed)
            self._files = files.pop_all()
        self._total = sum(entry.num_bytes for entry in self._tensors.values()) or 1
        self._taken_bytes = 0
        self._taken: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def has_float16(self) -> bool:
        return any(entry.kind == "F16" for entry in self._tensors.values())

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor that is backed by the mapped file: no memory of its own until it is converted.

        Raises:
            ModelError: missing, or of another shape or type.
        """
        entry = self._tensors.get(name)
        if entry is None:
            raise ModelError(f"The checkpoint has no tensor {name}, expected with shape {list(shape)}.")
        if entry.shape != shape:
            raise ModelError(f"The checkpoint's tensor {name} has shape {list(entry.shape)}, expected {list(shape)}.")
        if entry.kind not in _FLOATS:
            raise ModelError(
                f"The checkpoint's tensor {name} has type {entry.kind}, expected one of {', '.join(_FLOATS)}."
            )
        tensor: Tensor = entry.file.get_tensor(name)
        self._taken.add(name)
        self._taken_bytes += entry.num_bytes
        self._progress(self._taken_bytes / self._total)
        return tensor

    def finish(self) -> None:
        """Raises ModelError where a tensor was not taken, as a model with one more weight computes something else."""
        extra = sorted(name for name in self._tensors.keys() - self._taken if not name.endswith(_MAY_BE_EXTRA))
        if extra:
            first = [f"{shown(name)} with shape {list(self._tensors[name].shape)}" for name in extra[:3]]
            names = ", ".join(first) + (f" and {len(extra) - 3} more" if len(extra) > 3 else "")
            raise ModelError(f"The checkpoint has tensors that this architecture does not: {names}.")


class _Entry:
    """Where a tensor is and what its file's header says of it."""

    def __init__(self, file: Any, name: str) -> None:
        header = file.get_slice(name)
        self.file = file
        self.shape: tuple[int, ...] = tuple(header.get_shape())
        self.kind: str = header.get_dtype()
        self.num_bytes = prod(self.shape) * (4 if self.kind == "F32" else 2)


def _entries(file: Any, file_name: str, indexed: set[str] | None) -> dict[str, _Entry]:
    """The tensors of an open file; where there is an index, it must name just these."""
    names = set(file.keys())
    if indexed is not None:
        names = {name for name in names if name in indexed or not name.endswith(_MAY_BE_EXTRA)}
        for name in sorted(indexed - names):
            raise ModelError(f"The checkpoint's file {file_name} lacks {shown(name)}, which its index names.")
        for name in sorted(names - indexed):
            raise ModelError(f"The checkpoint's file {file_name} has {shown(name)}, which its index does not name.")
    return {name: _Entry(file, name) for name in names}


def _open(folder: Path, name: str) -> Any:
    path = find(folder, name)
    if path is None:
        raise ModelError(f"The checkpoint's file {shown(name)}, which its index names, is missing.")
    try:
        file = safe_open(path, framework="pt")
        _refuse_doubles(path)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        why = ascii(str(error))[1:-1][:MAX_REASON]  # the library repeats names
        raise ModelError(f"The checkpoint's file {shown(name)} cannot be read: {why}.") from None
    return file


def _refuse_doubles(path: Path) -> None:
    """The library takes the last of two tensors with one name, other readers may take the first.

    Its header is one that the library has read: a length in eight bytes, and so much JSON.
    """
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    json.loads(header, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Raises:
        SafetensorError: a name stands there twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        doubles = Counter(name for name, _ in pairs)
        raise SafetensorError(f"its header names {shown(doubles.most_common(1)[0][0])} twice")
    return values


def weight_files(folder: Path) -> dict[str, set[str] | None]:
    """File name → the tensors in it as the index says; None where there is no index."""
    if find(folder, INDEX) is not None:
        return _read_index(folder)
    if find(folder, SINGLE) is not None:
        return {SINGLE: None}
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    found = f" ({shown(pickles[0])} is a pickle, which could run code and is never read)" if pickles else ""
    raise ModelError(f"The model folder has neither {SINGLE} nor {INDEX}{found}.")


def weight_bytes(folder: Path) -> int:
    """Size of the weights on disk, roughly that in memory; what is missing is the loader's to report."""
    paths = (find(folder, name) for name in weight_files(folder))
    return sum(path.stat().st_size for path in paths if path is not None)


def _read_index(folder: Path) -> dict[str, set[str] | None]:
    places = read_json(folder, INDEX).get("weight_map")
    if not isinstance(places, dict) or not places or not all(map(_is_plain_name, places.values())):
        raise ModelError(f"The checkpoint's {INDEX} must map tensors to safetensors files of the same folder.")
    files: dict[str, set[str]] = {file: set() for file in sorted(places.values())}
    for name, file in places.items():
        files[file].add(name)
    return {**files}


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name == Path(name).name and name.endswith(".safetensors") and "\0" not in name
