"""From what a person calls a model to a folder on this disk: the bundled one, a folder, or a hub id.

Knows nothing of what is in the files; it fetches none that could run code.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import huggingface_hub  # loads its parts when they are first used: a folder costs nothing

from ensue import __version__
from ensue.errors import ModelError

BUNDLED_NAME = "ensue-tiny"
BUNDLED_FOLDER = Path(__file__).parents[1] / "tiny"
WANTED = ("*.json", "*.safetensors", "*.jinja")  # never pickles, never Python
UNWANTED = ("*/*", "consolidated*")  # other formats of the same weights
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)

Progress = Callable[[str, float], None]  # name of the phase, share done


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """Where a model's files are and how it is called."""

    folder: Path
    name: str  # a hub id or a folder's last part: what requests call it unless the operator says otherwise
    root: str  # the same; shown by /v1/models, and never a path


def resolve(
    model: str | None,
    revision: str | None = None,
    progress: Progress | None = None,
    *,
    cache_dir: Path | None = None,
    endpoint: str | None = None,
) -> ResolvedModel:
    """Find a model, and fetch it where it is a hub id that is not on this disk yet.

    Args:
        model: a folder, a hub id (org/name), or None for the bundled model.
        revision: branch, tag or commit of a hub id. It becomes one commit first, and all files are of that commit.
        progress: told the share of the bytes fetched, from several threads, one at a time.
        cache_dir, endpoint: of the hub; default: what its own variables HF_HOME and HF_ENDPOINT say.

    Raises:
        ModelError: no such folder, no such model, no permission, or no connection and no copy on this disk.
    """
    if model is not None and _HUB_ID.fullmatch(model) and not Path(model).exists():
        folder = _fetch(model, revision, progress or _ignore, cache_dir, endpoint)
        return ResolvedModel(folder, model, model)
    if revision is not None:
        raise ModelError(f"A revision ({revision!r}) needs a hub id such as org/name, not a folder.")
    if model is None:
        return ResolvedModel(BUNDLED_FOLDER, BUNDLED_NAME, BUNDLED_NAME)
    folder = _existing_folder(model)
    return ResolvedModel(folder, folder.name, folder.name)


def _existing_folder(model: str) -> Path:
    folder = Path(os.path.abspath(os.path.expanduser(model)))
    if (folder / "config.json").is_file():
        return folder
    if folder.is_dir():
        raise ModelError(f"The folder {model!r} holds no config.json, so it is no model.")
    if folder.exists():
        raise ModelError(f"The model {model!r} is a file; give the folder that holds config.json.")
    raise ModelError(f"The model {model!r} is not a folder here, and a hub id has the form org/name.")


def _fetch(model: str, revision: str | None, progress: Progress, cache_dir: Path | None, endpoint: str | None) -> Path:
    try:
        return _fetch_snapshot(model, revision, progress, cache_dir, endpoint)
    except huggingface_hub.errors.GatedRepoError:
        raise ModelError(
            f"The model {model} asks for permission: accept its terms on the hub and set HF_TOKEN."
        ) from None
    except huggingface_hub.errors.RepositoryNotFoundError:
        raise ModelError(
            f"The model {model} is neither a folder here nor a model on the hub (a private one needs HF_TOKEN)."
        ) from None
    except huggingface_hub.errors.RevisionNotFoundError:
        raise ModelError(f"The model {model} has no revision {revision!r} on the hub.") from None
    except huggingface_hub.errors.HFValidationError:
        raise ModelError(f"The model {model!r} is neither a folder here nor a valid hub id.") from None
    except (huggingface_hub.errors.LocalEntryNotFoundError, huggingface_hub.errors.RevisionResolutionError):
        raise ModelError(
            f"The model {model} is not (or not wholly) on this disk, and the hub cannot be reached."
        ) from None
    except (OSError, huggingface_hub.errors.HTTPError) as error:  # type: ignore[attr-defined]  # its HTTP library's
        raise ModelError(f"The model {model} could not be fetched from the hub: {type(error).__name__}.") from error


def _fetch_snapshot(
    model: str, revision: str | None, progress: Progress, cache_dir: Path | None, endpoint: str | None
) -> Path:
    """The folder of one commit, with every wanted file in it. Without a connection: of the commit last seen."""
    api = huggingface_hub.HfApi(endpoint=endpoint, library_name="ensue", library_version=__version__)
    options: dict[str, Any] = {
        "revision": api.resolve_revision(model, revision=revision, cache_dir=cache_dir),
        "cache_dir": cache_dir,
        "allow_patterns": list(WANTED),
        "ignore_patterns": list(UNWANTED),
    }
    missing_bytes = 0
    try:
        files = api.snapshot_download(model, dry_run=True, tqdm_class=_Bar, **options)
        _check_weights(model, (file.filename for file in files))
        missing_bytes = sum(file.file_size or 0 for file in files if file.will_download)
    except huggingface_hub.errors.DryRunError:  # no connection: the next call finds the copy on this disk
        pass
    folder = Path(api.snapshot_download(model, tqdm_class=_bar_class(missing_bytes, progress), **options))
    progress("download", 1.0)
    return folder


def _check_weights(model: str, names: Iterable[str]) -> None:
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelError(f"The model {model} has no safetensors files on the hub; pickled weights are not loaded.")


def _ignore(name: str, fraction: float) -> None:
    """For those who want no progress."""


class _Bar:
    """As much of tqdm's class as `snapshot_download` uses; draws nothing."""

    def __init__(self, *, total: float | None = None, unit: str = "it", **_: Any) -> None:
        self.n = 0.0
        self.total = total
        self._unit = unit
        self._lock = threading.Lock()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def update(self, n: float | None = 1) -> None:
        with self._lock:  # files come on several threads
            self.n += n or 0
            if self._unit == "B":
                self.on_bytes(self.n)

    def on_bytes(self, num_bytes: float) -> None:
        """Called with all the bytes so far."""

    def refresh(self) -> None: ...

    def close(self) -> None: ...

    def set_description(self, *_: Any, **__: Any) -> None: ...

    set_description_str = set_postfix_str = set_description


def _bar_class(total_bytes: int, progress: Progress) -> type[_Bar]:
    """A bar that tells `progress` the share of `total_bytes`."""

    class Bar(_Bar):
        def on_bytes(self, num_bytes: float) -> None:
            if total_bytes:
                progress("download", min(num_bytes / total_bytes, 1.0))

    return Bar
