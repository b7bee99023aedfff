"""The docs name every setting, error and metric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field
from pathlib import Path
from typing import Any

import pytest

from ensue import config, errors
from ensue.metrics import TABLE, Metric

DOCS = Path(__file__).parents[2] / "docs"


def request_errors(base: type[errors.RequestError] = errors.RequestError) -> Iterator[type[errors.RequestError]]:
    """The classes that answer a request: those without children of their own, and InvalidRequest."""
    for child in base.__subclasses__():
        if child not in (errors.ClientError, errors.ServerError):
            yield child
        yield from request_errors(child)


@pytest.mark.parametrize("error", list(request_errors()), ids=lambda error: error.__name__)
def test_an_error_is_documented_as_it_looks(error: type[errors.RequestError]) -> None:
    row = next(line for line in (DOCS / "errors.md").read_text().splitlines() if f"| `{error.__name__}` |" in line)
    cells = [cell.strip() for cell in row.split("|")]
    assert (cells[2], cells[3]) == (str(error.status), error.type)
    assert str(error.code or "null") in cells[4].split(", ")


@pytest.mark.parametrize("field", config.all_settings(), ids=lambda field: field.name)
def test_a_setting_is_documented_with_its_default(field: Field[Any]) -> None:
    name, default = field.name, field.default
    rows = [line for line in (DOCS / "settings.md").read_text().splitlines() if line.startswith(f"| `{name}` |")]
    shown = "none" if default in (None, ()) else str(default).lower() if isinstance(default, bool) else str(default)
    assert [row.split("|")[2].strip() for row in rows] == [shown]


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)
def test_a_metric_is_documented_as_declared(metric: Metric) -> None:
    row = f"| `ensue_{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.help} |"
    assert row in (DOCS / "metrics.md").read_text().splitlines()
