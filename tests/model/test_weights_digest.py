"""The digest of a checkpoint sees what makes it another one, in large files, too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ensue.model import weights_digest as module
from ensue.model.loader import SINGLE
from ensue.model.weights_digest import weights_digest


@pytest.fixture(params=["whole", "sampled"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "sampled":
        monkeypatch.setattr(module, "WHOLE_BYTES", 1000)
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def digest(folder: Path, tensors: dict[str, torch.Tensor]) -> bytes:
    save_file(tensors, folder / SINGLE)
    return weights_digest(folder)


def base() -> dict[str, torch.Tensor]:
    return {f"layer.{i}": torch.full((300, 100), float(i)) for i in range(4)} | {"norm": torch.ones(3)}


def test_equal_checkpoints_have_one_digest(folder: Path) -> None:
    assert digest(folder, base()) == digest(folder, base())


@pytest.mark.parametrize("name", base())
def test_a_tensor_that_was_trained_further_changes_it(folder: Path, name: str) -> None:
    assert digest(folder, base()) != digest(folder, base() | {name: base()[name] + 1e-6})


def test_names_types_and_the_config_count(folder: Path) -> None:
    renamed = {("other" if name == "norm" else name): tensor for name, tensor in base().items()}
    halved = base() | {"norm": torch.ones(6, dtype=torch.float16)}
    found = {digest(folder, base()), digest(folder, renamed), digest(folder, halved)}
    (folder / "config.json").write_text('{"rope_theta": 5}')
    assert len(found | {digest(folder, base())}) == 4
