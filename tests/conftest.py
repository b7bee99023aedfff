"""Fixtures for tests that compute with tiny models."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ensue.engine.resources import bound_spinning

bound_spinning(os.environ)  # before torch is loaded: what runs the tests may be busy with other things

import torch  # noqa: E402

from ensue.model import devices, kernels  # noqa: E402


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for one another take longer than a tiny model, above all on a busy machine."""
    before = torch.get_num_threads(), kernels.num_threads()
    devices.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    kernels.set_num_threads(before[1])
