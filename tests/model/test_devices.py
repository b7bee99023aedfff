"""One count of threads for all that computes."""

from __future__ import annotations

import torch

from ensue.model import kernels
from ensue.model.devices import set_num_threads


def test_torch_and_the_kernels_get_the_same_number() -> None:
    before = torch.get_num_threads()
    set_num_threads(1)
    assert (torch.get_num_threads(), kernels.num_threads()) == (1, 1)
    set_num_threads(before)


def test_small_numbers_are_kept() -> None:
    set_num_threads(torch.get_num_threads())
    assert float(torch.tensor(2.0**-126) * 0.25) == 2.0**-128
