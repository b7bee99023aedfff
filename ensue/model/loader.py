"""A checkpoint's tensors, one at a time, from mapped safetensors files. Never reads a pickle."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ensue.errors import ModelError
from ensue.model.config import read_json

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_FLOATS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_MAY_BE_EXTRA = ("rotary_emb.inv_freq",)  # written by old exports; computed here


class Checkpoint:
    """The tensors of a model folder by name; each is taken once, and none may be left over."""

    def __init__(self, folder: Path, progress: Callable[[float], None]) -> None:
        """
        Args:
            progress: told the share of bytes taken.

        Raises:
            ModelError: no safetensors, a file that can't be read, or an index that names files outside the folder.
        """
        self._files = ExitStack()
        self._open: dict[str, Any] = {}
        self._where = _tensor_files(folder)
        self._progress = progress
        for name in sorted(set(self._where.values())):
            self._open[name] = self._open_file(folder, name)
        self._shapes = {name: self._slice(name) for name in self._where}
        self._total = sum(map(self._num_bytes, self._where)) or 1
        self._taken_bytes = 0
        self._taken: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor that is backed by the mapped file: no memory of its own until it is converted.

        Raises:
            ModelError: missing, or of another shape or type.
        """
        if name not in self._where:
            raise ModelError(f"The checkpoint has no tensor {name}, expected with shape {list(shape)}.")
        found, kind = self._shapes[name].get_shape(), self._shapes[name].get_dtype()
        if tuple(found) != shape:
            raise ModelError(f"The checkpoint's tensor {name} has shape {list(found)}, expected {list(shape)}.")
        if kind not in _FLOATS:
            raise ModelError(f"The checkpoint's tensor {name} has type {kind}, expected one of {', '.join(_FLOATS)}.")
        tensor: Tensor = self._open[self._where[name]].get_tensor(name)
        self._taken.add(name)
        self._taken_bytes += self._num_bytes(name)
        self._progress(self._taken_bytes / self._total)
        return tensor

    def finish(self, may_be_left: Iterable[str] = ()) -> None:
        """Raises ModelError where a tensor was not taken, as a model with one more weight computes something else."""
        left = self._where.keys() - self._taken - set(may_be_left)
        extra = sorted(name for name in left if not name.endswith(_MAY_BE_EXTRA))
        if extra:
            shown = ", ".join(extra[:3]) + (f" and {len(extra) - 3} more" if len(extra) > 3 else "")
            raise ModelError(f"The checkpoint has tensors that this architecture does not: {shown}.")

    def _open_file(self, folder: Path, name: str) -> Any:
        try:
            return self._files.enter_context(safe_open(folder / name, framework="pt"))
        except (OSError, SafetensorError) as error:
            raise ModelError(f"The checkpoint's file {name} cannot be read: {error}.") from None

    def _slice(self, name: str) -> Any:
        try:
            return self._open[self._where[name]].get_slice(name)
        except SafetensorError:
            raise ModelError(
                f"The checkpoint's file {self._where[name]} lacks {name}, which its index names."
            ) from None

    def _num_bytes(self, name: str) -> int:
        size = 4 if self._shapes[name].get_dtype() == "F32" else 2
        for extent in self._shapes[name].get_shape():
            size *= extent
        return size


def _tensor_files(folder: Path) -> dict[str, str]:
    """Tensor name → file name."""
    if (folder / INDEX).is_file():
        weight_map = read_json(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not all(_is_plain_name(name) for name in weight_map.values()):
            raise ModelError(f"The checkpoint's {INDEX} must map tensors to safetensors files of the same folder.")
        return weight_map
    if (folder / SINGLE).is_file():
        try:
            with safe_open(folder / SINGLE, framework="pt") as file:
                return dict.fromkeys(file.keys(), SINGLE)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"The checkpoint's file {SINGLE} cannot be read: {error}.") from None
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    found = f" ({pickles[0]} is a pickle, which could run code and is never read)" if pickles else ""
    raise ModelError(f"The model folder has neither {SINGLE} nor {INDEX}{found}.")


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name == Path(name).name and name.endswith(".safetensors")
