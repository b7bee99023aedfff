"""A short name for a checkpoint's content, without reading large files whole.

Of a file up to 32 MiB everything counts. Of a larger one: its size, its whole header (names, shapes, types and places
of the tensors), and three samples of every tensor. So a fine-tune, a merged adapter or another precision is told apart
even if it touches one tensor only; a few bytes changed on purpose inside a large tensor are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ensue.config import MIB
from ensue.model.config import CONFIG
from ensue.model.loader import weight_files

WHOLE_BYTES = 32 * MIB
SAMPLE_BYTES = 4096
_LENGTH_BYTES = 8  # safetensors: u64 length of the header, the header as JSON, the tensors


def weights_digest(folder: Path) -> bytes:
    """32 bytes that are equal for equal checkpoints, config.json included.

    The folder was loaded before, so its files are what they should be.
    """
    digest = hashlib.blake2b(digest_size=32)
    for name in (CONFIG, *weight_files(folder)):
        path = folder / name
        size = path.stat().st_size
        digest.update(f"{name} {size}\n".encode())
        with path.open("rb") as file:
            for piece in [file.read()] if size <= WHOLE_BYTES else _samples(file):
                digest.update(piece)
    return digest.digest()


def _samples(file: BinaryIO) -> Iterator[bytes]:
    """The header, and the start, middle and end of every tensor."""
    header = file.read(int.from_bytes(file.read(_LENGTH_BYTES), "little"))
    yield header
    data_start = file.tell()
    tensors = json.loads(header)
    for name in sorted(tensors.keys() - {"__metadata__"}):
        start, end = tensors[name]["data_offsets"]
        for place in (start, (start + end) // 2, end - SAMPLE_BYTES):
            file.seek(data_start + max(start, place))
            yield file.read(min(SAMPLE_BYTES, end - start))
