from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ensue.tiny
from ensue.engine.fake import FakeEngine
from ensue.outputs import FinishReason, TokenLogprobs, TokenOutput
from ensue.service.choice import Choice, ChoiceDelta
from ensue.service.logprobs import Logprobs
from ensue.service.prompt import EncodedPrompt, encode_prompts
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(Path(ensue.tiny.__file__).parent)


def columns(token_ids: Sequence[int]) -> TokenLogprobs:
    """Made-up numbers: a token's own is minus its id; the likeliest are 30 and 31."""
    n = len(token_ids)
    return TokenLogprobs(tuple(-float(i) for i in token_ids), (9,) * n, ((30, 31),) * n, ((-30.0, -31.0),) * n)


@pytest.fixture(scope="session")
def make_outputs() -> Callable[..., list[TokenOutput]]:
    """The outputs of one sample, bundled as `sizes` say; what is left over comes with the end."""

    def make(
        token_ids: Sequence[int], sizes: Sequence[int] = (), reason: FinishReason = FinishReason.LENGTH, **more: Any
    ) -> list[TokenOutput]:
        outputs, rest = [], tuple(token_ids)
        for size in sizes:
            if size < len(rest):
                outputs.append(TokenOutput(0, rest[:size], columns(rest[:size])))
                rest = rest[size:]
        return [*outputs, TokenOutput(0, rest, columns(rest), finish_reason=reason, **more)]

    return make


Answer = tuple[str, Logprobs, ChoiceDelta, int]


@pytest.fixture(scope="session")
def assemble(tokenizer: Tokenizer) -> Callable[..., Answer]:
    """Run outputs through a choice: (text, entries, last delta, number of tokens); ids are checked against those."""

    def run(outputs: Sequence[TokenOutput], prompt: EncodedPrompt | None = None, **fields: Any) -> Answer:
        names = fields.pop("stop_names", {})
        request = CompletionRequest("id", ("",), **{"logprobs": 1, "return_token_ids": True, **fields})
        choice = Choice(0, prompt or EncodedPrompt((0,)), request, tokenizer, names)
        deltas = [delta for output in outputs if (delta := choice.take(output)) is not None]
        token_ids = [id_ for delta in deltas for id_ in delta.token_ids or ()]
        assert token_ids == [id_ for output in outputs for id_ in output.token_ids][: choice.num_tokens]
        entries = Logprobs()
        for delta in deltas:
            entries.extend(delta.logprobs or Logprobs())
        assert [d.finish_reason is not None for d in deltas] == [False] * (len(deltas) - 1) + [True]
        return "".join(d.text for d in deltas), entries, deltas[-1], choice.num_tokens

    return run


@pytest.fixture(scope="session")
def encode(tokenizer: Tokenizer) -> Callable[..., EncodedPrompt]:
    """Encode one prompt as a request with these fields would."""

    def run(prompt: str | tuple[int, ...], **fields: Any) -> EncodedPrompt:
        info = FakeEngine(logits_width=tokenizer.vocab_size).info
        return encode_prompts(CompletionRequest("id", (prompt,), **fields), tokenizer, info)[0]

    return run
