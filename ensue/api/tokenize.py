"""POST /tokenize, POST /detokenize, GET /tokenizer_info: vLLM's shapes."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ensue.api.bodies import DetokenizeBody, ModelBody, TokenizeBody
from ensue.api.body import BodyReader
from ensue.api.context import context_of
from ensue.api.disconnect import unless_disconnected
from ensue.api.fields import Text, is_set
from ensue.api.generation import warning_headers
from ensue.api.params import conversation, read_body
from ensue.api.protocol import DetokenizeObject, TokenizeObject
from ensue.api.query import Parameter, Parameters, read_query
from ensue.config import Config
from ensue.errors import InvalidRequest
from ensue.served_models import ServedModel, ServedModels
from ensue.service.conversation import Conversation
from ensue.service.tokenization import TokenizationService

B = TypeVar("B", bound=ModelBody)
FOR_MESSAGES_ONLY = ("tools", "add_generation_prompt", "continue_final_message", "chat_template_kwargs")
INFO_QUERY: Parameters = {"model": Parameter(Text(), "A served name or alias; default: the served model")}
ALWAYS_TOLD = ("bos_token", "eos_token", "pad_token", "unk_token")  # null where there is none


class TokenizeEndpoint:
    """The tokenizers behind the models."""

    def __init__(self, models: ServedModels, service: TokenizationService, config: Config) -> None:
        self._models = models
        self._service = service
        self._limits = config.limits
        self._bodies = BodyReader(config.limits)
        self._unknown = config.server.unknown_parameters

    async def tokenize(self, request: Request) -> Response:
        """Token ids of a text or of a conversation."""
        body, model, headers = await self._read(request, TokenizeBody)
        text = _text(body, model)
        is_added = isinstance(text, str) if body.add_special_tokens is None else body.add_special_tokens
        work = self._service.tokenize(
            model,
            text,
            add_special_tokens=is_added,
            has_names=body.return_token_strs,
            owner=context_of(request.scope).key_id,
        )
        tokens = await unless_disconnected(request.receive, work)
        return _json(TokenizeObject(len(tokens.ids), tokens.max_model_len, tokens.ids, tokens.names), headers)

    async def detokenize(self, request: Request) -> Response:
        """The text of token ids."""
        body, model, headers = await self._read(request, DetokenizeBody)
        if body.tokens is None:
            raise InvalidRequest("tokens is required.", param="tokens")
        work = self._service.detokenize(model, body.tokens, context_of(request.scope).key_id)
        text = await unless_disconnected(request.receive, work)
        return _json(DetokenizeObject(text), headers)

    async def tokenizer_info(self, request: Request) -> Response:
        """What a client needs to tokenize by itself: special tokens and the chat template."""
        model = self._model(request, read_query(request, INFO_QUERY).get("model"))
        template, tokenizer = model.chat_template, model.tokenizer
        told = {
            **dict.fromkeys(ALWAYS_TOLD),
            **tokenizer.special_tokens,
            "tokenizer_class": tokenizer.class_name,
            "chat_template": None if template is None else template.source,
        }
        return Response(msgspec.json.encode(told), media_type="application/json")

    async def _read(self, request: Request, body: type[B]) -> tuple[B, ServedModel, dict[str, str]]:
        parsed, warnings = await self._bodies.read(
            request, lambda value: read_body(body, value, self._unknown, self._limits)
        )
        return parsed, self._model(request, parsed.model), warning_headers(warnings)

    def _model(self, request: Request, name: str | None) -> ServedModel:
        context = context_of(request.scope)
        model = self._models.resolve(name, context.rights)
        context.model = model.name
        return model


def _text(body: TokenizeBody, model: ServedModel) -> str | Conversation:
    """
    Raises:
        InvalidRequest: neither or both of prompt and messages, or a field for the other one.
    """
    if (body.prompt is None) == (body.messages is None):
        raise InvalidRequest("One of prompt and messages is required, and not both.", param="prompt")
    if body.prompt is None:
        return conversation(body, model)
    for name in FOR_MESSAGES_ONLY:
        if is_set(body, name):
            raise InvalidRequest(f"{name} is for messages, not for a prompt.", param=name)
    return body.prompt


def _json(value: msgspec.Struct, headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(value), headers=headers, media_type="application/json")
