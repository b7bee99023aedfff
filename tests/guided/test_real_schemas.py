"""Schemas as people write them: how many are accepted, refused with a reason, and satisfied by finished texts."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jsonschema
import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from tests.guided.walk import backend, walk_on

SCHEMAS = sorted((Path(__file__).parent / "real").glob("*.json"))
NUM_WALKS = 5


def test_coverage(capsys: pytest.CaptureFixture[str]) -> None:
    lines, num_accepted, num_finished, num_satisfied = [], 0, 0, 0
    for path in SCHEMAS:
        schema = json.loads(path.read_text())
        try:
            grammar = backend().compile(Constraint.of_schema(schema))
        except InvalidGrammar as error:
            lines.append(f"{path.name}: refused, {error.param}: {error.message}")
            continue
        num_accepted += 1
        walks = (walk_on(backend().load(grammar), random.Random(seed), 400) for seed in range(NUM_WALKS))
        texts = [text for text in walks if text is not None]
        validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        valid = [t for t in texts if validator(schema, format_checker=validator.FORMAT_CHECKER).is_valid(json.loads(t))]
        lines.append(f"{path.name}: accepted, {len(valid)} of {len(texts)} finished texts are valid")
        num_finished, num_satisfied = num_finished + len(texts), num_satisfied + len(valid)
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert num_satisfied == num_finished > 3 * num_accepted
    assert [line.split(".")[0] for line in lines if "refused, " in line] == [
        "refused-back-reference",
        "refused-dynamic-ref",
        "refused-remote-ref",
    ]
