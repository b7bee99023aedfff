"""What an engine can never run, refused before it is queued."""

from __future__ import annotations

from ensue.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter
from ensue.outputs import EngineInfo
from ensue.request import BeamParams, GenerationRequest
from ensue.sampling_params import SamplingParams


def check(request: GenerationRequest, info: EngineInfo) -> None:
    """Refuse what can never run. Pure, so that it can be called from any thread.

    Raises:
        InvalidRequest: with the field in `param`.
    """
    num_prompt_tokens, limit = len(request.prompt_token_ids), min(info.max_model_len, info.max_request_tokens)
    token_ids = (*request.prompt_token_ids, *request.resumed_token_ids)
    if not num_prompt_tokens:
        raise InvalidRequest("The prompt has no tokens.", param="prompt")
    if min(token_ids) < 0 or max(token_ids) >= info.logits_width:
        raise _out_of_vocabulary("prompt", info.logits_width)
    if num_prompt_tokens + request.max_tokens > limit:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {limit} tokens; the prompt has {num_prompt_tokens} and "
            f"max_tokens is {request.max_tokens}.",
            param="max_tokens",
        )
    if request.resumed_token_ids and (
        request.beam is not None or request.num_samples > 1 or len(request.resumed_token_ids) >= request.max_tokens
    ):
        raise InvalidRequest("Only one sample with tokens left to generate can be resumed.")
    _check_ids(request.sampling, info.logits_width)
    if request.beam is not None:
        _check_beam(request.beam, request.num_samples, info)


def _check_ids(sampling: SamplingParams, width: int) -> None:
    """Refuse settings for tokens that no row of logits has."""
    allowed = sampling.allowed_token_ids or ()
    if allowed and not (min(allowed) >= 0 and max(allowed) < width):  # there may be as many as a vocabulary has
        index = next(i for i, token_id in enumerate(allowed) if not 0 <= token_id < width)
        raise _out_of_vocabulary(f"allowed_token_ids[{index}]", width)
    for token_id, _ in sampling.logit_bias:
        if not 0 <= token_id < width:
            raise _out_of_vocabulary(f"logit_bias.{token_id}", width)


def _out_of_vocabulary(path: str, width: int) -> InvalidRequest:
    return InvalidRequest(f"{path} is out of vocabulary: token ids must be from 0 to {width - 1}.", param=path)


def _check_beam(beam: BeamParams, num_returned: int, info: EngineInfo) -> None:
    """Any width can run: beams for which there is no room take turns."""
    if "use_beam_search" in info.unsupported:
        raise UnsupportedParameter("This engine serves no beam search.", param="use_beam_search")
    if not 1 <= num_returned <= beam.width:
        raise InvalidRequest(f"A search with {beam.width} beams cannot return {num_returned} of them.", param="n")
