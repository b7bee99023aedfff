"""Chat messages to a prompt, by the model's own Jinja template, in a sandbox.

The template comes with the model and is never a caller's; the sandbox keeps it to its data and bounds what it costs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn

from jinja2 import TemplateError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from ensue.errors import InvalidRequest, ModelError
from ensue.text.template_bounds import BoundedEnvironment, TooCostlyError
from ensue.text.template_forms import (
    PROBED_ARGUMENTS,
    PROBED_NAME,
    PROBED_PARTS,
    PROBED_TEXT,
    forms,
    probed_conversation,
)

SHOWN_REASON = range(8, 201)  # characters of a template's own words: fewer say nothing, more are no sentence
_TEXT_TESTS = ("string", "iterable", "sequence", "mapping")
_FAULTS = (
    TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError
)  # fmt: skip


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks what a model wrote, for training; here it is transparent."""

    tags = {"generation"}  # noqa: RUF012 - as the base class declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """As transformers has it: no HTML escapes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _environment() -> BoundedEnvironment:
    environment = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _marked(content: Any, mark: str) -> tuple[str, Any]:
    """The end of a content, and the content with a mark behind it."""
    match content:
        case str():
            return content, content + mark
        case [*before, {"text": str(text)} as final]:
            return text, [*before, {**final, "text": text + mark}]
    raise InvalidRequest("The final message has no text that could be continued.", param="messages")


def _reads_parts(tree: nodes.Template) -> bool:
    """Whether a loop goes through the content of a message, or through a variable that has it or its name."""
    names = {"content"} | {
        assign.target.name
        for assign in tree.find_all(nodes.Assign)
        if isinstance(assign.target, nodes.Name) and _is_content(assign.node)
    }
    loops = (_unfiltered(loop.iter) for loop in tree.find_all(nodes.For))
    return any(_is_content(node) or (isinstance(node, nodes.Name) and node.name in names) for node in loops)


def _is_content(node: nodes.Node) -> bool:
    """`message.content` or `message["content"]`."""
    match node:
        case nodes.Getattr(attr="content"):
            return True
        case nodes.Getitem(arg=nodes.Const(value="content")):
            return True
    return False


def _shows_object(text: str) -> bool:
    """Whether the probed arguments stand in a text, and not as Python writes them."""
    return all(name in text for name in PROBED_ARGUMENTS) and str(PROBED_ARGUMENTS) not in text


def _unfiltered(node: nodes.Node) -> nodes.Node:
    while isinstance(node, nodes.Filter) and node.node is not None:
        node = node.node
    return node


class ChatTemplate:
    """A model's template, compiled once."""

    def __init__(self, source: str, special_tokens: Mapping[str, str | None], tool_source: str | None = None) -> None:
        """
        Args:
            special_tokens: bos_token, eos_token, … as the template names them.
            tool_source: of the model's template for conversations with tools, if that is another one.

        Raises:
            ModelError: the template is not valid Jinja, or takes too long for a short conversation.
        """
        self.source = source
        self.for_tools = self if tool_source is None else ChatTemplate(tool_source, special_tokens)
        self._special_tokens = {name: token for name, token in special_tokens.items() if token is not None}
        try:
            self._environment = _environment()
            self._template = self._environment.compiled(self._environment.parse(source))
            tree = self._environment.parse(source)
        except (TemplateError, SyntaxError, RecursionError) as error:
            raise ModelError(f"The chat template is not valid: {error}.") from None
        self.reads_tools = "tools" in meta.find_undeclared_variables(tree)
        # Contents that are lists of parts, as it goes through them; where it does, texts only if it asks for the kind.
        self.reads_parts = _reads_parts(tree) and (self._takes(PROBED_PARTS) or not self._takes(PROBED_TEXT))
        self.reads_texts = not self.reads_parts or any(test.name in _TEXT_TESTS for test in tree.find_all(nodes.Test))
        self.takes_system = self._takes(PROBED_TEXT, after_system=True) or not self._takes(PROBED_TEXT)
        as_object, as_text = self._probed(PROBED_ARGUMENTS), self._probed(json.dumps(PROBED_ARGUMENTS))
        # The arguments of past calls: it writes them out as they are, so they must be JSON already.
        self.reads_arguments_as_text = not _shows_object(as_object) and json.dumps(PROBED_ARGUMENTS) in as_text
        # A conversation with a past call, "" where it fails at one or leaves it out.
        shown = as_text if self.reads_arguments_as_text else as_object
        self.past_call = shown if PROBED_NAME in shown else ""

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **variables: Any,
    ) -> str:
        """The prompt for a conversation.

        Args:
            continue_final_message: the prompt ends with the content of the final message.

        Raises:
            InvalidRequest: the template refuses these messages.
        """
        try:
            return self._render_bounded(messages, add_generation_prompt, continue_final_message, variables)
        except TooCostlyError:
            raise InvalidRequest(
                "The chat template takes too long or writes too much for these messages.", param="messages"
            ) from None

    def _render_bounded(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        variables: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        with self._environment.rendering():
            if continue_final_message:
                return self._render_open(messages, variables)
            return self._render(messages, add_generation_prompt, variables)

    def _render_open(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
        """As transformers has it: a mark goes through the template, and the prompt is what stands before it."""
        *before, final = messages
        mark = f"{secrets.token_hex(16)} "  # its space shows whether the template trims contents
        content, marked = _marked(final.get("content"), mark)
        text = self._render([*before, {**final, "content": marked}], False, variables)
        prompt, found, rest = text.rpartition(mark[:-1])
        if not found or content.strip() not in prompt:
            raise InvalidRequest("The chat template doesn't show the end of the final message.", param="messages")
        return prompt if rest.startswith(" ") else prompt.rstrip()

    def _takes(self, content: Any, *, after_system: bool = False) -> bool:
        """Whether it doesn't refuse such a conversation."""
        system = [{"role": "system", "content": content}] if after_system else []
        return self._tried([*system, {"role": "user", "content": content}]) is not None

    def _probed(self, arguments: Any) -> str:
        """A conversation with a past call; "" where the template knows none."""
        if "tool_calls" not in self.source:
            return ""
        return self._tried(probed_conversation(arguments)) or ""

    def _tried(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        """A conversation of ours, None where the template refuses it."""
        try:
            return self._render_bounded(messages)
        except TooCostlyError:
            raise ModelError("The chat template takes too long or writes too much, for a few words already.") from None
        except InvalidRequest:
            return None

    def _render(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool, variables: Mapping[str, Any]
    ) -> str:
        """In the first form that the template takes; what it says of the usual one counts."""
        refusals: list[InvalidRequest] = []
        for form, tools in forms(messages, variables.get("tools")):
            try:
                return self._rendered(form, add_generation_prompt, {**variables, "tools": tools})
            except InvalidRequest as refusal:
                refusals.append(refusal)
        raise refusals[0]

    def _rendered(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool, variables: Mapping[str, Any]
    ) -> str:
        try:
            return self._template.render(
                messages=list(messages),
                add_generation_prompt=add_generation_prompt,
                **{"documents": None, **self._special_tokens, **variables},
            )
        except SecurityError:
            raise InvalidRequest("The chat template does what templates may not do.", param="messages") from None
        except _FAULTS as error:  # a template is a program: it may fail in any way that the messages lead it to
            raise InvalidRequest(f"The chat template refuses {self._reason(error)}.", param="messages") from None

    def _reason(self, error: Exception) -> str:
        """The template's own words, so far as they stand in its source: what follows may be a caller's text."""
        if isinstance(error, UndefinedError):
            return "these messages: they lack something that it reads"
        message = (error.message or "") if isinstance(error, TemplateError) else ""
        lengths = (length for length in reversed(SHOWN_REASON) if length <= len(message))
        own = next((message[:length] for length in lengths if message[:length] in self.source), "")
        return f"these messages: {' '.join(own.split()).rstrip('.')}" if own else "these messages"
