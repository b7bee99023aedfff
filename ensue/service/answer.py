"""The choices that grow from one prompt, fed by one generation."""

from __future__ import annotations

from collections.abc import Mapping

from ensue.errors import GenerationFailed, Overloaded, RequestError, RequestTimeout
from ensue.outputs import PROMPT, FinishReason, TokenOutput, Usage
from ensue.service.choice import Choice, ChoiceDelta
from ensue.service.logprobs import Entries, Logprobs, Scores, prompt_logprobs, rows
from ensue.service.prompt import EncodedPrompt
from ensue.service.request import CompletionRequest
from ensue.text.tokenizer import Tokenizer


class Answer:
    """All samples of one prompt."""

    def __init__(
        self,
        number: int,
        prompt: EncodedPrompt,
        request: CompletionRequest,
        tokenizer: Tokenizer,
        stop_names: Mapping[int, str],
    ) -> None:
        first = number * request.n
        self.choices = [Choice(first + i, prompt, request, tokenizer, stop_names) for i in range(request.n)]
        self._prompt = prompt
        self._request = request
        self._tokenizer = tokenizer
        self._prompt_scores: list[Scores] = []
        self._prompt_logprobs: Logprobs | None = None
        self._num_cached: int | None = None

    @property
    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=len(self._prompt.token_ids),
            completion_tokens=sum(choice.num_tokens for choice in self.choices),
            cached_tokens=self._num_cached or 0,
        )

    def take(self, output: TokenOutput) -> ChoiceDelta | None:
        """The next output of the generation; returns the news of the choice that it concerns, if there are any.

        Raises:
            ServerError: the engine gave a running sample up.
        """
        if self._num_cached is None:
            self._num_cached = output.num_cached_tokens
        if output.sample_index == PROMPT:
            assert output.logprobs is not None, "prompt slices bring log-probabilities"
            self._prompt_scores.extend(rows(output.logprobs))
            return None
        choice = self.choices[output.sample_index]
        if not choice.is_finished and output.finish_reason in (FinishReason.ERROR, FinishReason.ABORT):
            raise _failure(output)
        return choice.take(output, self._scored_prompt())

    def _scored_prompt(self) -> Logprobs | None:
        """Entries of the whole prompt, made once; its slices come before the first token."""
        if self._prompt_logprobs is None and self._request.scores_prompt:
            entries = Entries(self._tokenizer, self._request.logprobs or 0)
            self._prompt_logprobs = prompt_logprobs(self._prompt.tokens, self._prompt_scores, entries)
        return self._prompt_logprobs


def _failure(output: TokenOutput) -> RequestError:
    if output.finish_reason is FinishReason.ABORT:
        return Overloaded("The server is shutting down.", code="draining", retry_after_s=5)
    if output.error_code == "request_timeout":
        return RequestTimeout("The request took longer than this server allows.")
    return GenerationFailed("The model failed on this request.")
