"""The fields of tools, in OpenAI's shapes: what a caller lets the model call, and what follows for an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ensue.api.fields import Boolean, Schema, Text, object_schema
from ensue.errors import InvalidRequest, UnknownParameter, UnsupportedParameter, shown
from ensue.guided.tool_grammar import ToolUse
from ensue.served_models import ServedModel
from ensue.tools import Tool

MAX_NAME_LENGTH = 64
_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_NAME_LENGTH}}}")
_MODES = ("none", "auto", "required")


def _of_function(properties: Mapping[str, Schema], **others: Schema) -> Schema:
    """An object of type function that says this of it."""
    function = object_schema(properties, ["name"], has_null_others=True)
    of_function = {"type": {"const": "function"}, "function": function, **others}
    return object_schema(of_function, ["type", "function"], has_null_others=True)


_NAMED = _of_function({"name": {"type": "string"}})
_SOME = object_schema(
    {"mode": {"enum": ["auto", "required"]}, "tools": {"type": "array", "minItems": 1, "items": _NAMED}},
    ["mode", "tools"],
    has_null_others=True,
)


class ToolsKind:
    """A list of functions."""

    schema: ClassVar[Schema] = {
        "type": "array",
        "items": _of_function(
            {
                "name": {"type": "string", "pattern": f"^{_NAME.pattern}$"},
                "description": {"type": "string", "description": "For the model"},
                "parameters": {"type": "object", "description": "A JSON Schema; without one it takes none"},
                "strict": {"type": "boolean", "description": "Arguments always satisfy the schema"},
            },
            strict={"type": "boolean", "description": "The same, where Responses has it"},
        ),
    }

    def parse(self, value: Any, path: str) -> tuple[Tool, ...]:
        if not isinstance(value, list):
            raise InvalidRequest(f"{path} must be a list.", param=path)
        tools = tuple(_tool(item, f"{path}[{index}]") for index, item in enumerate(value))
        names: set[str] = set()
        for index, tool in enumerate(tools):
            if tool.name in names:
                raise InvalidRequest("Two tools have one name.", param=f"{path}[{index}].function.name")
            names.add(tool.name)
        return tools


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether tools are called, and which."""

    mode: Literal["none", "auto", "required"]
    names: frozenset[str] | None = None  # none but these, though all are shown to the model


class ToolChoiceKind:
    """none, auto, required, one function by its name, or some of them."""

    schema: ClassVar[Schema] = {
        "anyOf": [
            {"enum": list(_MODES)},
            _NAMED,
            object_schema(
                {"type": {"const": "allowed_tools"}, "allowed_tools": _SOME},
                ["type", "allowed_tools"],
                has_null_others=True,
            ),
        ]
    }

    def parse(self, value: Any, path: str) -> ToolChoice:
        if value in ("none", "auto", "required"):
            return ToolChoice(value)
        if not isinstance(value, dict):
            raise InvalidRequest(f"{path} must be none, auto, required or an object that names a function.", param=path)
        if value.get("type") != "allowed_tools":
            return ToolChoice("required", frozenset([_name(value, path)]))
        _refuse_unknown(value, ("type", "allowed_tools"), path)
        return _allowed(value.get("allowed_tools"), f"{path}.allowed_tools")


TOOLS, TOOL_CHOICE = ToolsKind(), ToolChoiceKind()


def tool_use(
    tools: Sequence[Tool], choice: ToolChoice | None, model: ServedModel, *, is_parallel: bool | None
) -> ToolUse | None:
    """What an answer may call; None where its text is just text.

    Raises:
        InvalidRequest: a choice without tools, or of one that isn't there.
        UnsupportedParameter: nothing is known of how this model calls tools.
    """
    if not tools:
        _refuse_without_tools(choice, is_parallel)
        return None
    choice = choice or ToolChoice("auto")
    if choice.names is not None and not choice.names <= {tool.name for tool in tools}:
        raise InvalidRequest("tool_choice names a function that is not among the tools.", param="tool_choice")
    if choice.mode == "none":
        return None
    indices = [i for i, tool in enumerate(tools) if choice.names is None or tool.name in choice.names]
    support, is_forced = model.tool_support, choice.mode == "required"
    if support is None or not (support.is_known or is_forced):
        how = "start the server with --tool-call-parser, or set tool_choice to required or none"
        raise UnsupportedParameter(f"How this model calls tools by itself is not known: {how}.", param="tools")
    max_calls = 1 if is_parallel is False else model.limits.max_tool_calls
    return ToolUse(support.format, [tools[i] for i in indices], indices, is_forced, max_calls)


def _refuse_without_tools(choice: ToolChoice | None, is_parallel: bool | None) -> None:
    if choice is not None and choice.mode == "required":
        raise InvalidRequest("tool_choice needs tools to choose from.", param="tool_choice")
    if is_parallel is False:
        raise InvalidRequest("parallel_tool_calls is for requests with tools.", param="parallel_tool_calls")


def _allowed(value: Any, path: str) -> ToolChoice:
    """Some functions, and whether one of them must be called."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be an object with mode and tools.", param=path)
    _refuse_unknown(value, ("mode", "tools"), path)
    mode, tools = value.get("mode"), value.get("tools")
    if mode not in ("auto", "required"):
        raise InvalidRequest(f"{path}.mode must be auto or required.", param=f"{path}.mode")
    if not isinstance(tools, list) or not tools:
        raise InvalidRequest(f"{path}.tools must be a list of at least one function.", param=f"{path}.tools")
    names = frozenset(_name(tool, f"{path}.tools[{index}]") for index, tool in enumerate(tools))
    return ToolChoice(mode, names)


def _name(value: Any, path: str) -> str:
    """Of a function, from an object that says no more of it."""
    function = _function(value, path)
    _refuse_unknown(function, ("name",), f"{path}.function")
    return Text().parse(function.get("name"), f"{path}.function.name")


def _tool(value: Any, path: str) -> Tool:
    function = _function(value, path, others=("strict",))
    path = f"{path}.function"
    _refuse_unknown(function, ("name", "description", "parameters", "strict"), path)
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        allowed = f"1 to {MAX_NAME_LENGTH} letters, digits, underscores, dashes and dots"
        raise InvalidRequest(f"{path}.name must have {allowed}.", param=f"{path}.name")
    description, parameters = function.get("description"), function.get("parameters")
    if description is not None:
        Text().parse(description, f"{path}.description")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidRequest(
            f"{path}.parameters must be a JSON Schema, which is an object.", param=f"{path}.parameters"
        )
    for holder, place in ((function, f"{path}.strict"), (value, f"{path.removesuffix('.function')}.strict")):
        if holder.get("strict") is not None:  # it changes nothing: arguments always satisfy the schema
            Boolean().parse(holder["strict"], place)
    return Tool(name, description, parameters or None)  # {} is OpenAI's other word for none


def _function(value: Any, path: str, others: tuple[str, ...] = ()) -> dict[str, Any]:
    """What an object of type function says of it."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be an object with type and function.", param=path)
    if value.get("type") != "function":
        raise UnsupportedParameter("Of the types of tools, function is supported.", param=f"{path}.type")
    _refuse_unknown(value, ("type", "function", *others), path)
    function = value.get("function")
    if not isinstance(function, dict):
        raise InvalidRequest(f"{path}.function must be an object.", param=f"{path}.function")
    return function


def _refuse_unknown(value: Mapping[str, Any], names: tuple[str, ...], path: str) -> None:
    for name, item in value.items():
        if name not in names and item is not None:
            place = f"{path}.{shown(name)}"
            raise UnknownParameter(f"Unknown parameter `{place}`. Known: {', '.join(names)}.", param=place)
