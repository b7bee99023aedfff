"""What every backend must keep; `make test-guided` runs it on each of them."""

from __future__ import annotations

import contextlib
import json
import queue
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import lark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.engine.grammars import Grammars, Loaded
from ensue.errors import GenerationFailed, InvalidGrammar, RequestError
from ensue.guided.backend import PROVER, Matcher
from ensue.guided.backends import Backends
from ensue.guided.constraint import BackendName, Constraint
from ensue.guided.payload import built_in_form
from ensue.guided.prover import ProofLimits, Prover
from ensue.guided.vocabulary import Vocabulary
from ensue.outputs import FinishReason
from ensue.request import BeamParams, GenerationRequest
from ensue.service.guided import TextCheck
from tests.engine.toy import END, VOCABULARY, make_engine, make_request, run_to_end
from tests.guided.installed import NAMES
from tests.guided.schemas import random_schema
from tests.guided.test_grammars import EXAMPLES, GBNF, SAMPLES
from tests.guided.test_json_schema import ENFORCED, FORMATS, MORE_FORMATS, SPACES, is_valid
from tests.guided.test_regex import random_regex
from tests.guided.walk import accepts, allowed, backend, start_of, vocabulary, walk, walk_on

pytestmark = pytest.mark.parametrize("name", NAMES)

# keyword of ENFORCED: what the backend says instead
_ODD_STEPS = ("multipleOf", "multipleOf 7.75")
BEYOND: dict[str, dict[str, str]] = {
    "llguidance": {},
    "xgrammar": dict.fromkeys(
        _ODD_STEPS, "multipleOf can be enforced by the backend xgrammar only for divisors of 1000"
    ),
    "outlines": {
        **dict.fromkeys(_ODD_STEPS, "multipleOf can be enforced by the backend outlines only for divisors of 1000"),
        "recursion": "refers to itself cannot be expressed by the backend outlines",
    },
}
# Walks of which the library refuses a token that its own mask allowed; such a request ends with an error.
MAX_FAILED = {"llguidance": 0, "xgrammar": 1, "outlines": 0}
# keyword of ENFORCED: what the backends that aren't built in never write, though they might
_NOT_BUILT_IN = {
    "patternProperties that readers take for wider": ['{"ab":2}'],
    "propertyNames beside properties": ['{"c":1}'],
    "propertyNames but one": ['{"d":1}'],
}
NEVER_WRITTEN: dict[str, dict[str, list[str]]] = {
    "llguidance": {},
    "xgrammar": _NOT_BUILT_IN,
    "outlines": {
        **_NOT_BUILT_IN,
        "oneOf told apart by what is required around it": ['{"t":2,"n":[1]}', '{"t":1,"x":1}'],
    },
}


def of_schema(schema: Any, name: BackendName, spaces: str | None = None) -> Constraint:
    return replace(Constraint.of_schema(schema, spaces), backend=name)


@pytest.mark.parametrize("case", ENFORCED, ids=[case[0] for case in ENFORCED])
def test_keywords_are_enforced_or_refused_by_name(
    name: BackendName, case: tuple[str, Any, list[str], list[str]]
) -> None:
    keyword, schema, good, bad = case
    never_written = NEVER_WRITTEN[name].get(keyword, [])
    constraint = of_schema(schema, name)
    if keyword in BEYOND[name]:
        with pytest.raises(InvalidGrammar, match=BEYOND[name][keyword]):
            start_of(constraint)
        return
    assert [text for text in good if not accepts(constraint, text)] == never_written
    assert [text for text in bad if accepts(constraint, text)] == []


def test_finished_texts_of_random_schemas_are_valid(name: BackendName, capsys: pytest.CaptureFixture[str]) -> None:
    refusals: Counter[str] = Counter()
    num_accepted, num_finished, num_failed = 0, 0, 0
    for seed in range(1000, 1250):
        schema = random_schema(random.Random(seed))
        try:
            matcher = start_of(of_schema(schema, name))
        except InvalidGrammar as error:
            refusals[error.message] += 1
            continue
        num_accepted += 1
        for walk_seed in range(3):
            try:
                text = walk_on(matcher.fork(), random.Random(walk_seed), 60)
            except GenerationFailed:
                num_failed += 1
                continue
            num_finished += text is not None
            assert text is None or is_valid(schema, text), (seed, schema, text)
    with capsys.disabled():
        print(f"\n{name}: {num_accepted} of 250 random schemas accepted, {num_finished} texts finished, all valid")
    assert num_failed <= MAX_FAILED[name]
    assert num_accepted > 130
    assert num_finished > 250


def test_finished_texts_of_random_regexes_match(name: BackendName) -> None:
    num_finished = 0
    for seed in range(1000, 1200):
        regex = random_regex(random.Random(seed))
        for walk_seed in range(2):
            text = walk(Constraint("regex", regex, backend=name), walk_seed, 40)
            num_finished += text is not None
            assert text is None or re.fullmatch(regex, text, re.DOTALL), (regex, text)
    assert num_finished > 300


@settings(max_examples=40, deadline=None)
@given(
    choices=st.lists(
        st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=5
    )
)
def test_a_choice_is_one_of_the_strings(name: BackendName, choices: list[str]) -> None:
    constraint = replace(Constraint.of_choices(tuple(choices)), backend=name)
    assert all(accepts(constraint, choice) for choice in choices)
    text = walk(constraint, len(choices))
    assert text is None or text in choices


@pytest.mark.parametrize("format_name", FORMATS + MORE_FORMATS)
def test_formats_hold(name: BackendName, format_name: str) -> None:
    matcher = start_of(of_schema({"type": "string", "format": format_name}, name))
    texts = [text for seed in range(25) if (text := walk_on(matcher.fork(), random.Random(seed), 120)) is not None]
    assert len(texts) >= 5
    assert [text for text in texts if not is_valid({"format": format_name}, text)] == []


@pytest.mark.parametrize(("pattern", "good", "bad"), SPACES)
def test_white_space_is_what_the_pattern_says(
    name: BackendName, pattern: str | None, good: list[str], bad: list[str]
) -> None:
    schema = {"type": "object", "properties": {"a": True, "b": True}, "required": ["a", "b"]}
    constraint = of_schema(schema, name, pattern)
    assert [text for text in good if not accepts(constraint, text)] == []
    assert [text for text in bad if accepts(constraint, text)] == []


@pytest.mark.parametrize("pattern", ["x", "[ x]*", "a?", "("])
def test_white_space_patterns_match_white_space_only(name: BackendName, pattern: str) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        start_of(of_schema({}, name, pattern))
    assert caught.value.param == "whitespace_pattern"


def grammar_case(name: BackendName, source: str) -> Constraint | None:
    """None where the backend says that it has no grammars."""
    constraint = Constraint("grammar", source, backend=name)
    if name != "outlines":
        return constraint
    with pytest.raises(InvalidGrammar, match="cannot be expressed by the backend outlines"):
        start_of(constraint)
    return None


@pytest.mark.parametrize(("source", "good", "bad"), GBNF)
def test_grammars_mean_what_their_rules_say(name: BackendName, source: str, good: list[str], bad: list[str]) -> None:
    if constraint := grammar_case(name, source):
        assert [text for text in good if not accepts(constraint, text)] == []
        assert [text for text in bad if accepts(constraint, text)] == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.gbnf")), ids=lambda path: path.stem)
def test_finished_texts_of_the_example_grammars_parse(name: BackendName, path: Path) -> None:
    constraint = grammar_case(name, path.read_text())
    if constraint is None:
        return
    parser = lark.Lark((EXAMPLES / f"{path.stem}.lark").read_text(), parser="earley", lexer="dynamic")
    good, bad = SAMPLES[path.stem]
    assert [text for text in good if not accepts(constraint, text)] == []
    assert [text for text in bad if accepts(constraint, text)] == []
    matcher = start_of(constraint)
    texts = [text for seed in range(12) if (text := walk_on(matcher.fork(), random.Random(seed), 200)) is not None]
    assert len(texts) >= 2
    for text in texts:
        parser.parse(text)


def test_larks_notation_is_enforced_or_refused_by_name(name: BackendName) -> None:
    constraint = Constraint("grammar", 'start: "a" | "b" start', backend=name)
    if name == "llguidance":
        assert accepts(constraint, "bba")
        return
    with pytest.raises(InvalidGrammar, match=f"the backend {name}"):
        start_of(constraint)


WRONG = ["(?=a)b", r"(a)\1", "[a", "(" * 65 + ")" * 65, r"\bfoo"]


@pytest.mark.parametrize("regex", WRONG)
def test_regexes_that_cannot_be_are_refused(name: BackendName, regex: str) -> None:
    with pytest.raises(InvalidGrammar):
        start_of(Constraint("regex", regex, backend=name))


TOKENS = Vocabulary((b"a", b"b", b"ab", b"<s>", b"", b"abc", b"c", b"\xc3", b"\xa9", b"\xc3\xa9", b"a"), frozenset({3}))


def matcher_of(name: BackendName, regex: str, tokens: Vocabulary = TOKENS) -> Matcher:
    library = Backends(tokens, PROVER).get(name)
    return library.load(library.compile(Constraint("regex", regex, backend=name)))


def test_masks_hold_the_tokens_that_may_come_next(name: BackendName) -> None:
    matcher = matcher_of(name, "abc?")
    assert allowed(matcher) == [0, 2, 5, 10]
    matcher.accept(2)
    assert matcher.is_accepting
    assert allowed(matcher) == [6]
    matcher.accept(6)
    assert (matcher.is_accepting, allowed(matcher)) == (True, [])


def test_special_tokens_and_ids_without_a_token_are_never_allowed(name: BackendName) -> None:
    assert allowed(matcher_of(name, "[ab<>s]*|é")) == [0, 1, 2, 7, 9, 10]
    matcher = start_of(Constraint("regex", "(?s:.*)", backend=name))
    assert not set(allowed(matcher)) & vocabulary().special_ids
    assert len(allowed(matcher)) > len(vocabulary().tokens) / 2


@pytest.mark.parametrize("num_tokens", [7, 8, 9, 31, 32, 33, 64])
def test_masks_are_as_long_as_the_vocabulary(name: BackendName, num_tokens: int) -> None:
    tokens = Vocabulary(tuple(chr(97 + i).encode() for i in range(num_tokens)))
    matcher = matcher_of(name, "(?s:.)*" if name == "llguidance" else "[a-z{|}~\\x7f]*", tokens)
    assert len(matcher.bitmask()) == tokens.num_bitmask_bytes
    assert allowed(matcher)[:7] == list(range(7))
    assert max(allowed(matcher)) < num_tokens


def test_forks_go_their_own_ways(name: BackendName) -> None:
    matcher = matcher_of(name, "a|bb")
    fork = matcher.fork()
    fork.accept(1)
    assert (allowed(matcher), allowed(fork)) == ([0, 1, 10], [1])


def test_a_token_outside_the_mask_fails_the_text_alone(name: BackendName) -> None:
    matcher = matcher_of(name, "abc")
    fork = matcher.fork()
    with pytest.raises(GenerationFailed):
        fork.accept(6)
    assert allowed(matcher) == [0, 2, 5, 10]


def test_characters_may_be_split_between_tokens(name: BackendName) -> None:
    matcher = matcher_of(name, "é")
    assert allowed(matcher) == [7, 9]
    matcher.accept(7)
    assert (matcher.is_accepting, allowed(matcher)) == (False, [8])


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_those_of_the_built_in_backend(name: BackendName, seed: int) -> None:
    """The same rules in two libraries: every mask on the way, and every end."""
    for schema_seed in range(50 * seed, 50 * seed + 50):
        try:
            grammar = backend(name).compile(of_schema(random_schema(random.Random(schema_seed)), name))
        except InvalidGrammar:
            continue
        one, other = backend(name).load(grammar), backend("llguidance").load(built_in_form(grammar))
        noise = random.Random(seed)
        for _ in range(40):
            ids = allowed(one)
            assert (ids, one.is_accepting) == (allowed(other), other.is_accepting), schema_seed
            if not ids:
                break
            token_id = noise.choice(ids)
            one.accept(token_id)
            other.accept(token_id)


def run_engine(name: BackendName, request: GenerationRequest) -> list[str]:
    """Texts of the samples that stopped."""
    engine = make_engine()
    engine.add((1, 1), request, matcher_of(name, "(foo|bar)+", VOCABULARY))
    outputs = run_to_end(engine).values()
    ids = [o.token_ids if o.is_complete else o.token_ids[:-1] for o in outputs if o.finish_reason is FinishReason.STOP]
    return [b"".join(VOCABULARY.tokens[i] for i in row).decode() for row in ids]


@pytest.mark.parametrize("beams", [False, True])
def test_samples_and_beams_that_stop_satisfy_the_constraint(name: BackendName, beams: bool) -> None:
    more: dict[str, Any] = {"beam": BeamParams(width=3)} if beams else {}
    found = []
    for seed in range(10):
        request = make_request((1, 2, 3), max_tokens=20, end_token_ids=(END,), num_samples=3, seed=seed, **more)
        found += run_engine(name, request)
    assert len(found) >= 8
    assert all(re.fullmatch("(foo|bar)+", text) for text in found)


async def test_what_is_proved_in_its_process_is_loaded_by_a_worker(name: BackendName) -> None:
    prover = Prover(vocabulary)
    constraints = [Constraint("regex", "[a-z]{3}[0-9]", backend=name), of_schema({"type": "integer"}, name)]
    grammars = Grammars(vocabulary)
    for constraint in constraints:
        grammar = await prover.prove(constraint)
        assert grammar.backend == name
        assert (
            grammar.digest != (await prover.prove(replace(constraint, backend="llguidance"))).digest
            or name == "llguidance"
        )
        loaded: queue.SimpleQueue[Loaded] = queue.SimpleQueue()
        grammars.load(grammar, loaded.put)
        matcher = loaded.get(timeout=60)
        assert not isinstance(matcher, RequestError)
        assert allowed(matcher)
        assert grammars.get(grammar) is not None
    await prover.close()


HOSTILE = [
    Constraint("regex", "((([a-z]{1,100}){1,100}){1,100}){1,100}"),
    Constraint("regex", "(.*a){200}.{500}"),
    Constraint.of_schema({"type": "array", "items": {"type": "string", "maxLength": 9000}, "maxItems": 9000}),
]


@pytest.mark.parametrize("constraint", HOSTILE, ids=["nested", "ambiguous", "long"])
async def test_what_costs_too_much_is_refused_or_harmless(name: BackendName, constraint: Constraint) -> None:
    prover = Prover(vocabulary, ProofLimits(cpu_s=1))
    await prover.prove(Constraint("regex", "a", backend=name))
    with contextlib.suppress(InvalidGrammar):
        assert len((await prover.prove(replace(constraint, backend=name))).payload) < 256 * 2**20
    assert await prover.prove(Constraint("regex", "b", backend=name))
    await prover.close()


def test_a_grammar_that_grows_with_its_text_ends_that_text_alone(name: BackendName) -> None:
    """In xgrammar the time of a mask grows with the text, and only our limit ends that."""
    constraint = grammar_case(name, 'root ::= root root | "a" | ""')
    if constraint is None:
        return
    start, letter = start_of(constraint), vocabulary().tokens.index(b"a")
    matcher = start.fork()
    with pytest.raises(GenerationFailed) if name == "xgrammar" else contextlib.nullcontext():
        for _ in range(1500 if name == "xgrammar" else 100):
            matcher.bitmask()
            matcher.accept(letter)
    assert letter in allowed(start)


def test_a_stop_string_may_end_a_text_where_it_satisfies_the_constraint(name: BackendName) -> None:
    check = TextCheck(backend(name).compile(Constraint("regex", "(ab)*é?", backend=name)))
    check.add("abab")
    check.add("é!")
    assert [check.may_end_at(n) for n in (4, 2, 3, 0, 5, 6)] == [True, True, False, True, True, False]


def test_coverage_of_real_schemas(name: BackendName, capsys: pytest.CaptureFixture[str]) -> None:
    lines, num_finished = [], 0
    for path in sorted((Path(__file__).parent / "real").glob("*.json")):
        schema = json.loads(path.read_text())
        try:
            matcher = start_of(of_schema(schema, name))
        except InvalidGrammar as error:
            lines.append(f"{name}, {path.name}: refused, {error.param}: {error.message}")
            continue
        walks = (walk_on(matcher.fork(), random.Random(seed), 400) for seed in range(12))
        texts = [text for text in walks if text is not None]
        validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        checker = validator(schema, format_checker=validator.FORMAT_CHECKER)
        assert [text for text in texts if not checker.is_valid(json.loads(text))] == []
        lines.append(f"{name}, {path.name}: accepted, {len(texts)} texts finished, all valid")
        num_finished += len(texts)
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert num_finished > 3
