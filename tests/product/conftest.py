"""One server with the bundled model for all tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.product.server import Server, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`ensue serve` with its defaults; shared, so tests must not stop it or its processes."""
    with running_server(tmp_path_factory.mktemp("data")) as started:
        yield started
