"""Fixtures for tests that compute with tiny models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ensue.engine.resources import bound_spinning

settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")  # how long an example takes says something of the machine, not of the code
bound_spinning(os.environ)  # before torch is loaded: what runs the tests may be busy with other things

import torch  # noqa: E402

from ensue.model import devices, kernels  # noqa: E402

SUITES = [Path(__file__).parent / name for name in ("clients", "abuse", "browser")]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """These run only where they are asked for: they take long, or environments that `make` makes first."""
    if collection_path not in SUITES:
        return None
    is_asked_for = any(Path(argument).resolve().is_relative_to(collection_path) for argument in config.args)
    return None if is_asked_for else True


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for one another take longer than a tiny model, above all on a busy machine."""
    before = torch.get_num_threads(), kernels.num_threads()
    devices.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    kernels.set_num_threads(before[1])
