"""Guided choices: where stop strings may end them, what completes them, how errors name their fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tokenizers

from ensue.errors import InvalidGrammar, UnsupportedParameter
from ensue.guided.backend import PROVER
from ensue.guided.constraint import WHITESPACE, Constraint
from ensue.guided.llguidance import LlguidanceBackend
from ensue.guided.prover import Prover
from ensue.guided.vocabulary import Vocabulary
from ensue.outputs import FinishReason, TokenOutput
from ensue.request import CompiledGrammar
from ensue.service.choice import Choice, joined
from ensue.service.guided import Guided, TextCheck, prove
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer


def grammar_of(regex: str) -> CompiledGrammar:
    return LlguidanceBackend(Vocabulary((b"a", b"b")), PROVER).compile(Constraint("regex", regex))


def choice_of(tokenizer: Tokenizer, regex: str, text: str, **fields: Any) -> tuple[str, str | None, object]:
    """Text, finish_reason and stop_reason of a choice that comes token by token and is complete at its end."""
    choice = Choice(0, EncodedPrompt((0,)), CompletionRequest("id", ("",), **fields), tokenizer, {}, grammar_of(regex))
    ids = tokenizer.encode(text, add_special_tokens=False)
    outputs = [TokenOutput(0, (id_,)) for id_ in ids]
    outputs.append(TokenOutput(0, finish_reason=FinishReason.STOP, is_complete=True))
    whole = joined([delta for output in outputs if (delta := choice.take(output)) is not None])
    assert choice.num_tokens <= len(ids)
    return whole.text, whole.finish_reason, whole.stop_reason


@pytest.mark.parametrize(
    ("regex", "text", "stop", "shown"),
    [
        ("[a-z]{3,9}", "abcdef", ("d",), "abc"),
        ("[a-z]{3,9}", "abcdef", ("b",), "abcdef"),  # after one letter it may not end
        ("[a-z]{3,9}", "ababab", ("b",), "aba"),  # at the next one it may
        ("[a-z]{3,9}", "abcdef", ("bcd", "e"), "abcd"),
        ("(ab|abcd)", "abcd", ("cd", "bc"), "ab"),
        ("é+", "ééé", ("éé",), "é"),
        ('"[a-z]*"', '"a"', ('"',), '"a"'),
        ("[a-z]*", "abc", ("a",), ""),
    ],
)
def test_a_stop_string_ends_a_text_only_where_it_satisfies_the_constraint(
    tokenizer: Tokenizer, regex: str, text: str, stop: tuple[str, ...], shown: str
) -> None:
    for keeps in (False, True):  # the stop string is never shown
        found = choice_of(tokenizer, regex, text, stop=stop, include_stop_str_in_output=keeps)
        assert found[:2] == (shown, "stop")
        assert (found[2] in stop) == (shown != text)


def test_a_complete_text_shows_all_its_tokens(tokenizer: Tokenizer) -> None:
    assert choice_of(tokenizer, "abc", "abc") == ("abc", "stop", None)
    assert choice_of(tokenizer, "", "") == ("", "stop", None)


def test_a_leading_space_is_part_of_the_text(tmp_path: Path) -> None:
    """Tokenizers of SentencePiece drop it at the beginning of a text, where a constraint still asks for it."""
    vocab = {"<s>": 0, "▁a": 1}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="<s>"))
    backend.decoder = tokenizers.decoders.Metaspace()
    backend.add_special_tokens(["<s>"])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_folder(tmp_path)
    output = TokenOutput(0, (1,), finish_reason=FinishReason.STOP, is_complete=True)
    for grammar, text in ((None, "a"), (grammar_of(" a"), " a")):
        choice = Choice(0, EncodedPrompt((0,)), CompletionRequest("id", ("",)), tokenizer, {}, grammar)
        delta = choice.take(output if grammar else TokenOutput(0, (1,), finish_reason=FinishReason.LENGTH))
        assert delta is not None
        assert delta.text == text


def test_the_check_of_a_text_looks_back_as_well() -> None:
    check = TextCheck(grammar_of("(ab)*"))
    check.add("aba")
    check.add("bé")
    assert [check.may_end_at(n) for n in (4, 2, 3, 0, 4, 5)] == [True, True, False, True, True, False]


class OneProof(Prover):
    """Refuses everything, at one place."""

    def __init__(self, place: str | None) -> None:
        self.place = place

    async def prove(self, constraint: Constraint, owner: str = "") -> CompiledGrammar:
        raise InvalidGrammar("no", param=self.place)


@pytest.mark.parametrize(
    ("place", "param"),
    [
        (None, "guided_json"),
        ("properties.a", "guided_json.properties.a"),
        ("[0].x", "guided_json[0].x"),
        (WHITESPACE, "structured_outputs.whitespace_pattern"),
    ],
)
async def test_refusals_name_the_field_and_the_place(place: str | None, param: str) -> None:
    guided = Guided(Constraint.of_schema({}), "guided_json", "structured_outputs.whitespace_pattern")
    with pytest.raises(InvalidGrammar) as caught:
        await prove(guided, OneProof(place))
    assert caught.value.param == param


async def test_without_a_prover_there_is_no_guided_decoding() -> None:
    with pytest.raises(UnsupportedParameter):
        await prove(Guided(Constraint.of_schema({}), "guided_json"), None)
