"""Core dumps, which hold keys and prompts of running requests, are kept from being written."""

from __future__ import annotations

import resource


def forbid() -> None:
    """For this process and all that it starts.

    The kernel takes a limit of one byte for none at all; with 0 it would still hand a dump to a program that
    kernel.core_pattern names.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
