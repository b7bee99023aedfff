"""Fixtures for tests that compute with tiny models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ensue.model import devices, kernels


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for one another take longer than a tiny model, above all on a busy machine."""
    before = torch.get_num_threads(), kernels.num_threads()
    devices.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    kernels.set_num_threads(before[1])
