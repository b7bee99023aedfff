"""Imports point downward only, and each outside library has its owners."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ensue

PACKAGE = Path(ensue.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LEVELS: dict[str, int] = {
    **dict.fromkeys(
        (
            "ensue",
            "errors",
            "config",
            "sampling_params",
            "request",
            "rights",
            "tls",
            "globs",
            "times",
            "turns",
            "networks",
            "urls",
            "outputs",
            "child",
            "core_dumps",
            "hosts",
            "model_folder",
            "tools",
            "tiny",
        ),
        0,
    ),
    "engine.base": 1,
    **dict.fromkeys(("text", "guided", "store", "limits", "model", "metrics", "logs"), 2),
    **dict.fromkeys(("engine", "served_models", "shared_metrics"), 3),
    "service": 4,
    "api": 5,
    "build": 6,
    **dict.fromkeys(("cli", "deploy", "supervisor", "process", "__main__"), 7),
}
OWNERS: dict[str, tuple[str, ...]] = {
    "torch": ("model", "engine.model_runner", "engine.logits", "engine.sampler"),
    "numba": ("model.kernels", "model.registry"),  # the registry reads its version
    "llvmlite": ("model.kernels",),
    "triton": ("model.kernels",),
    "safetensors": ("model",),
    "transformers": ("model.hf",),
    "huggingface_hub": ("model.hub",),
    "tokenizers": ("text.tokenizer",),
    "jinja2": ("text.chat_template", "text.template_bounds"),
    "llguidance": ("guided",),
    "xgrammar": ("guided.xgrammar",),
    "outlines_core": ("guided.outlines",),
    "sqlalchemy": ("store",),
    "alembic": ("store",),
    "redis": ("limits.redis_counters",),
    "fastapi": ("api",),
    "starlette": ("api",),
    "pydantic": ("api",),
    "uvicorn": ("api",),
    "uvloop": ("api", "build"),
    "httptools": ("api",),
    "ray": ("deploy",),
    "prometheus_client": ("metrics",),
    "typer": ("cli",),
    "rich": ("cli",),
    "httpx2": ("cli", "api.jwks"),
    "jwt": ("api.jwt_keys",),
    "msgspec": ("limits", "engine", "api", "service", "process", "build"),
    "structlog": ("limits", "shared_metrics", "engine", "api", "service", "model", "store", "logs"),
    "numpy": ("model", "engine.model_runner", "engine.logits", "engine.sampler", "guided.xgrammar"),
}
LAZY_IMPORTERS = ("build", "cli", "process", "guided.backends")  # the last: libraries that may not be there


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "ensue"


def level_of(module: str) -> int:
    while module not in LEVELS:
        module = module.rpartition(".")[0]
        assert module, "every module has a level"
    return LEVELS[module]


def imports_of(path: Path) -> Iterator[str]:
    """Full names of all imported modules; for `from ensue import x`, ensue.x."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            is_package = (PACKAGE.parent / Path(*node.module.split("."))).is_dir()
            yield from (f"{node.module}.{alias.name}" if is_package else node.module for alias in node.names)


def is_within(module: str, owner: str) -> bool:
    return module == owner or module.startswith(owner + ".")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downward_or_stay_in_the_package(path: Path) -> None:
    module = name_of(path)
    for imported in imports_of(path):
        if not is_within(imported, "ensue"):
            continue
        target = imported.removeprefix("ensue").lstrip(".") or "ensue"
        if target == "__version__":
            continue
        is_same_package = module.split(".")[0] == target.split(".")[0]
        is_free = level_of(module) in (0, 7)  # the words know one another, and so do the roots
        is_downward = level_of(target) < level_of(module) or (is_free and level_of(target) == level_of(module))
        assert is_same_package or is_downward, f"{module} imports {target}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_layers_above_the_engine_see_only_its_contract(path: Path) -> None:
    if level_of(name_of(path)) in (4, 5):
        engines = {name for name in imports_of(path) if name.startswith("ensue.engine")}
        assert engines <= {"ensue.engine.base"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_outside_libraries_are_imported_by_their_owners_only(path: Path) -> None:
    module = name_of(path)
    for imported in imports_of(path):
        top = imported.split(".")[0]
        if top == "ensue" or top in sys.stdlib_module_names:
            continue
        assert any(is_within(module, owner) for owner in OWNERS[top]), f"{module} imports {top}"


@pytest.mark.parametrize("path", [p for p in MODULES if not name_of(p).startswith(LAZY_IMPORTERS)], ids=name_of)
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = [node for f in functions for node in ast.walk(f) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not inner
