"""Which files of a model folder may be opened: it may come from a stranger, so nothing in it leads out of it."""

from __future__ import annotations

from pathlib import Path

from ensue.config import MIB
from ensue.errors import ModelError


def find(folder: Path, name: str) -> Path | None:
    """A file of the model, None where there is none.

    Raises:
        ModelError: it is no ordinary file, or a link that leads out of the folder.
    """
    path = folder / name
    if not path.exists():
        return None
    if not path.is_file():
        raise ModelError(f"The model's {name} is not an ordinary file.")
    if not any(path.resolve().is_relative_to(root) for root in _roots(folder)):
        raise ModelError(
            f"The model's {name} is a link that leads out of the model's folder; put the file itself there."
        )
    return path


def _roots(folder: Path) -> tuple[Path, ...]:
    """The folder; and for a snapshot in the hub's cache, the store of its repository that the snapshot links to."""
    real = folder.resolve()
    return (real, real.parents[1] / "blobs") if real.parent.name == "snapshots" else (real,)


def refuse_large(path: Path, max_bytes: int) -> None:
    """Before a file is read as a whole: a sparse one claims any size at no cost.

    Raises:
        OSError: it can't be looked at.
        ModelError: it is larger than any model needs.
    """
    if path.stat().st_size > max_bytes:
        raise ModelError(f"The model's {path.name} is larger than {max_bytes // MIB} MiB.")
