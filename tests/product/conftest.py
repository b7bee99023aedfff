"""One server with the bundled model for all tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.product.server import Server, running_server

PROVIDERS_NAME = "meta-llama/Meta-Llama-3-8B-Instruct"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`ensue serve` with its defaults and a second name; shared, so tests must not stop it or its processes."""
    names = ("--served-model-name", "ensue-tiny", "--served-model-name", PROVIDERS_NAME)
    with running_server(tmp_path_factory.mktemp("data"), *names) as started:
        yield started
