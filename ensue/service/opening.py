"""What the first news of each choice bring of the prompt: its text, its ids, its log-probabilities."""

from __future__ import annotations

from msgspec.structs import replace

from ensue.outputs import TokenOutput
from ensue.service.choice import ChoiceDelta
from ensue.service.logprobs import Entries, Logprobs, PromptLogprobs, Scores, prompt_entries, prompt_maps, rows
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer


class Opening:
    """Made once for all choices of a prompt; the slices of its numbers come before any token."""

    def __init__(self, prompt: EncodedPrompt, request: CompletionRequest, tokenizer: Tokenizer) -> None:
        self._prompt = prompt
        self._request = request
        self._tokenizer = tokenizer
        self._scores: list[Scores] = []
        self._entries: Logprobs | None = None
        self._maps: PromptLogprobs | None = None

    def take(self, output: TokenOutput) -> None:
        """The next slice of the prompt's numbers."""
        assert output.logprobs is not None, "prompt slices bring log-probabilities"
        self._scores.extend(rows(output.logprobs))

    def before(self, delta: ChoiceDelta) -> ChoiceDelta:
        """The first news of a choice, and the prompt's part before them."""
        entries = self._prompt_entries()
        return replace(
            delta,
            text=self._prompt.text + delta.text if self._request.echo else delta.text,
            logprobs=delta.logprobs if entries is None else entries.joined(delta.logprobs or Logprobs()),
            prompt_token_ids=self._prompt.token_ids if self._request.return_token_ids else None,
            prompt_logprobs=self._prompt_maps(),
        )

    def _prompt_entries(self) -> Logprobs | None:
        request = self._request
        if self._entries is None and request.scores_prompt:
            names_ids = request.return_tokens_as_token_ids
            entries = Entries(self._tokenizer, request.logprobs or 0, names_ids=names_ids)
            self._entries = prompt_entries(self._prompt.tokens, self._scores, entries)
        return self._entries

    def _prompt_maps(self) -> PromptLogprobs | None:
        num_top = self._request.prompt_logprobs
        if self._maps is None and num_top is not None:
            self._maps = prompt_maps(self._prompt.token_ids, self._scores, num_top, self._tokenizer)
        return self._maps
