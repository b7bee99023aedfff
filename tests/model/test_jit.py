"""Where compiled kernels are kept: never beside a shared file that has changed since."""

from __future__ import annotations

from pathlib import Path

import numba
import pytest

from ensue.model.kernels import jit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "__init__.py").write_text("from ensue.model.kernels.user import warm\n")
    (tmp_path / "shared.py").write_text("ONE = 1\n")
    (tmp_path / "user.py").write_text("from ensue.model.kernels.shared import ONE\n")
    (tmp_path / "typed.py").write_text("class Pair(NamedTuple):\n    a: int\n")
    return tmp_path


def test_shared_files_are_those_that_other_kernels_import_or_that_have_types(folder: Path) -> None:
    assert jit.find_shared_files(folder) == [folder / "shared.py", folder / "typed.py"]


@pytest.mark.parametrize(("changed", "is_moved"), [("shared.py", True), ("typed.py", True), ("user.py", False)])
def test_a_change_of_a_shared_file_moves_the_cache(folder: Path, changed: str, is_moved: bool) -> None:
    before = jit.cache_folder(folder)
    with (folder / changed).open("a") as file:
        file.write("# changed\n")
    assert (jit.cache_folder(folder) != before) == is_moved


def test_kernels_are_compiled_without_fastmath_and_cached() -> None:
    @jit.kernel
    def add(a: float, b: float) -> float:
        return a + b

    assert isinstance(add, numba.core.registry.CPUDispatcher)
    assert not add.targetoptions.get("fastmath")
    assert add(1.0, 2.0) == 3.0
