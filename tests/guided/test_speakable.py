"""Patterns without characters that are never generated: they match the same texts else."""

from __future__ import annotations

import json
import random
import re

import pytest

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.speakable import speakable, speakable_regex
from tests.guided.walk import accepts, start_of, walk_on

_ATOMS = [
    "a",
    '"',
    r"\\",
    "é",
    '[^"]',
    r"[^\\]",
    r'["\\]',
    "[^a-z]",
    "[ -~]",
    "[^ -~]",
    r"\s",
    r"\S",
    r"\D",
    r"\W",
    ".",
]
_ATOMS += [
    r'[^"\\]',
    r"[^\n]",
    r"[^\x00-\x1f]",
    r"[\s\S]",
    r'[^\s"]',
    "[!-/]",
    "[^!-/]",
    r"\n",
    r"[\u0080-\uffff]",
    r"[^\W_]",
]
_REST = r"[^\x{0}-\x{7}\x{b}\x{e}-\x{1f}\x{7f}]"


@pytest.mark.parametrize(
    ("regex", "changed"),
    [
        ("^a+$", "^a+$"),
        ("[^x]", f"[[^x]&&{_REST}]"),
        (r"\[[a[^b]\]]c]", rf"\[[[a[^b]\]]&&{_REST}]c]"),
        (r"\x{0}\x{61}\\x{1}", rf"[\x{{0}}&&{_REST}]\x{{61}}\\x{{1}}"),
    ],
)
def test_classes_and_characters_lose_what_is_never_spoken(regex: str, changed: str) -> None:
    assert speakable_regex(regex) == changed


def test_patterns_are_changed_wherever_they_stand_and_values_nowhere() -> None:
    inner = {"pattern": "[a]"}
    changed = {"pattern": f"[[a]&&{_REST}]"}
    schema = {"properties": {"pattern": inner}, "items": inner, "anyOf": [inner, True], "enum": [inner]}
    expected = {"properties": {"pattern": changed}, "items": changed, "anyOf": [changed, True], "enum": [inner]}
    assert speakable(schema) == expected


@pytest.mark.parametrize("mark", ['"', "\\"])
@pytest.mark.parametrize("pattern", ["^[^{}]$", "^[^{}a]{{1,2}}$", "^[^{}]*$", "^([^{}]|b)+$", "^[^{}][^{}]?$"])
def test_a_negated_class_leaves_out_what_json_escapes(pattern: str, mark: str) -> None:
    escaped = "\\" + mark
    constraint = Constraint.of_schema({"type": "string", "pattern": pattern.replace("{}", escaped).format()})
    assert accepts(constraint, '"b"')
    assert not accepts(constraint, f'"{escaped}"')
    assert not accepts(constraint, f'"b{escaped}"')


@pytest.mark.parametrize("pattern", [r"^\0$", "^\x01+$", r"^[\x0e-\x1f]{2}$", r"^\x7f"])
def test_a_pattern_of_nothing_that_is_ever_spoken_is_refused(pattern: str) -> None:
    inner = {"type": "string", "pattern": pattern}
    for schema in (inner, {"type": "object", "properties": {"a": inner}, "required": ["a"]}):
        with pytest.raises(InvalidGrammar):
            start_of(Constraint.of_schema(schema))


def random_pattern(noise: random.Random, depth: int = 0) -> str:
    kind = noise.random() if depth < 2 else 0
    if kind < 0.4:
        return noise.choice(_ATOMS)
    one, other = random_pattern(noise, depth + 1), random_pattern(noise, depth + 1)
    return noise.choice([one + other, f"(?:{one}|{other})", f"(?:{one}){noise.choice(['?', '{2}', '{1,3}'])}"])


def test_finished_strings_match_random_patterns_of_marks() -> None:
    noise, num_checked = random.Random(4), 0
    for seed in range(150):
        pattern = noise.choice(["^{}$", "^(?:{})+$", "{}", "^{}"]).replace("{}", random_pattern(noise))
        lengths = {"maxLength": noise.randint(3, 6)} if noise.random() < 0.5 else {}
        try:
            matcher = start_of(Constraint.of_schema({"type": "string", "pattern": pattern, **lengths}))
        except InvalidGrammar:
            continue
        for walk in range(3):
            text = walk_on(matcher.fork(), random.Random(seed + walk), 40)
            if text is not None:
                num_checked += 1
                assert re.search(pattern, json.loads(text)), (pattern, text)
    assert num_checked > 200
