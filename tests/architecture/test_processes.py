"""Which process imports what: each check runs in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = {
    "cli": ("import ensue.cli.app", {"torch", "numba", "fastapi", "sqlalchemy", "numpy", "huggingface_hub", "httpx2"}),
    "supervisor": ("import ensue.supervisor", {"torch", "numpy", "fastapi", "uvicorn", "sqlalchemy", "pydantic"}),
    "api": ("import ensue.build.api", {"torch", "numba", "triton", "transformers"}),
    "worker": ("import ensue.build.worker", {"fastapi", "sqlalchemy", "pydantic", "transformers"}),
    "prover": ("import ensue.guided.prover_process", {"fastapi", "torch", "numpy", "pydantic", "starlette"}),
    "scheduler": ("import ensue.engine.llm_engine", {"torch", "numpy", "numba"}),
}


@pytest.mark.parametrize("process", CASES)
def test_a_process_does_not_import_what_belongs_to_another(process: str) -> None:
    statement, forbidden = CASES[process]
    script = f"{statement}\nimport sys\nprint(*sorted({forbidden!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
