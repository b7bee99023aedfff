"""Kinds of values that are made of token ids: `prompt`, lists of ids, `logit_bias`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ensue.api.fields import INT64, Integer, ListOf, Number, Schema, Text, as_int
from ensue.errors import InvalidRequest, shown
from ensue.sampling_params import MAX_LOGIT_BIAS
from ensue.service.request import Prompt


@dataclass(frozen=True, slots=True)
class Prompts:
    """The four forms of `prompt`."""

    prompts: tuple[Prompt, ...]
    is_list: bool = True  # of prompts, that is: not one text or one list of ids


class PromptKind:
    """str · list[str] · list[int] · list[list[int]]."""

    _IDS: ClassVar[Schema] = ListOf(Integer(low=0)).schema | {"minItems": 1}
    schema: ClassVar[Schema] = {
        "anyOf": [
            Text().schema,
            ListOf(Text()).schema | {"minItems": 1},
            _IDS,
            {"type": "array", "items": _IDS, "minItems": 1},
        ]
    }

    def parse(self, value: Any, path: str) -> Prompts:
        match value:
            case str():
                return Prompts((value,), is_list=False)
            case [str(), *_]:
                return Prompts(tuple(_text(item, f"{path}[{i}]") for i, item in enumerate(value)))
            case [list(), *_]:
                return Prompts(tuple(_ids(item, f"{path}[{i}]") for i, item in enumerate(value)))
            case [int() | float(), *_] if not isinstance(value[0], bool):
                return Prompts((_ids(value, path),), is_list=False)
            case []:
                raise InvalidRequest("prompt must not be an empty list.", param=path)
        raise InvalidRequest(
            "prompt must be a text, a list of texts, a list of token ids, or a list of lists of token ids.", param=path
        )


PROMPT = PromptKind()


def _text(item: Any, path: str) -> str:
    if not isinstance(item, str):
        raise InvalidRequest("prompt must have items of one kind: all of them texts.", param=path)
    return item


def _ids(items: Any, path: str) -> tuple[int, ...]:
    if not isinstance(items, list):
        raise InvalidRequest("prompt must have items of one kind: all of them lists of token ids.", param=path)
    if not items:
        raise InvalidRequest("A list of token ids must not be empty.", param=path)
    if set(map(type, items)) == {int}:  # a long prompt's usual case, checked at once
        return tuple(items)
    return tuple(_id(item, f"{path}[{i}]") for i, item in enumerate(items))


def _id(item: Any, path: str) -> int:
    token_id = as_int(item)
    if token_id is None:
        raise InvalidRequest("Token ids must be whole numbers.", param=path)
    return token_id


class JsonKind:
    """A JSON schema, as an object, as true or false, or as the text of one."""

    schema: ClassVar[Schema] = {"anyOf": [{"type": "object"}, {"type": "boolean"}, {"type": "string"}]}

    def parse(self, value: Any, path: str) -> Any:
        if not isinstance(value, dict | bool | str):
            raise InvalidRequest(f"{path} must be a JSON schema or the text of one.", param=path)
        return value


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A JSON object; what is in it, others check."""

    schema: Schema

    def parse(self, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InvalidRequest(f"{path} must be an object.", param=path)
        return value


JSON_SCHEMA = JsonKind()


class TokenIdsKind:
    """list[int]; which ids there are, the model's width says."""

    _LIST: ClassVar[ListOf] = ListOf(Integer(low=0))
    schema: ClassVar[Schema] = _LIST.schema

    def parse(self, value: Any, path: str) -> tuple[int, ...]:
        is_plain = isinstance(value, list) and set(map(type, value)) == {int}
        if is_plain and min(value) >= 0 and max(value) <= INT64[1]:  # a long list's usual case, checked at once
            return tuple(value)
        return self._LIST.parse(value, path)


TOKEN_IDS = TokenIdsKind()


@dataclass(frozen=True, slots=True)
class LogitBiasKind:
    """An object of token id → number. JSON writes the ids as texts."""

    _KEY: ClassVar[re.Pattern[str]] = re.compile(r"-?[0-9]{1,19}")
    _VALUE: ClassVar[Number] = Number(-MAX_LOGIT_BIAS, MAX_LOGIT_BIAS)

    @property
    def schema(self) -> Schema:
        return {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]{1,19}$"},
            "additionalProperties": self._VALUE.schema,
        }

    def parse(self, value: Any, path: str) -> tuple[tuple[int, float], ...]:
        """Pairs in ascending order of id, so that equal maps are equal values."""
        if not isinstance(value, dict):
            raise InvalidRequest(f"{path} must be an object of token ids and numbers.", param=path)
        pairs = dict(self._pairs(value, path))
        return tuple(sorted(pairs.items()))

    def _pairs(self, value: Mapping[str, Any], path: str) -> Iterator[tuple[int, float]]:
        seen: set[int] = set()
        for key, bias in value.items():
            place = f"{path}.{shown(key)}"
            if not self._KEY.fullmatch(key):
                raise InvalidRequest(f"{place}: the keys must be token ids, which are whole numbers.", param=place)
            token_id = int(key)
            if token_id in seen:
                raise InvalidRequest(f"{path} must have each token id only once.", param=place)
            seen.add(token_id)
            yield token_id, self._VALUE.parse(bias, place)


LOGIT_BIAS = LogitBiasKind()
