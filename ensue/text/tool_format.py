"""In which format a model calls tools: read off its chat template and its special tokens, or named by the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ensue.text.chat_template import ChatTemplate
from ensue.text.template_forms import PROBED_NAME
from ensue.text.tokenizer import Tokenizer
from ensue.tools import CallFormat, FormatName, Marker, ToolSupport

# Other families write XML of their own between the same tags.
_XML = ("<function=", "<arg_key>", "<parameter=")
# A past call as a template of the family shows it.
_PAST_CALLS: Mapping[FormatName, re.Pattern[str]] = {
    "hermes": re.compile(rf'<tool_call>\s*\{{"name": ?"{PROBED_NAME}"'),
    "llama3": re.compile(rf'\{{"name": ?"{PROBED_NAME}", ?"parameters"'),
    "mistral": re.compile(rf'\[TOOL_CALLS\]( ?\[\{{"name": ?"{PROBED_NAME}"|{PROBED_NAME}\[)'),
}


def tool_support(template: ChatTemplate, tokenizer: Tokenizer, wanted: FormatName | None) -> ToolSupport:
    """
    Args:
        wanted: what the settings say; None: find it out. Where nothing is recognised the format is Hermes's: a template
            that shows no tools is given a prompt that asks for it, of any other it is only what can be enforced.
    """
    template = template.for_tools
    name = wanted or _recognised(template, tokenizer)
    if name is None:
        return ToolSupport(call_format("hermes", tokenizer), is_known=not template.reads_tools)
    return ToolSupport(call_format(name, tokenizer))


def _recognised(template: ChatTemplate, tokenizer: Tokenizer) -> FormatName | None:
    """What the source speaks of, unless a past call looks otherwise."""
    name = _spoken_of(template.source, tokenizer)
    is_otherwise = name is not None and template.past_call and not _PAST_CALLS[name].search(template.past_call)
    return None if is_otherwise else name


def _spoken_of(source: str, tokenizer: Tokenizer) -> FormatName | None:
    if "<tool_call>" in source:
        return None if any(tag in source for tag in _XML) or "arguments" not in source else "hermes"
    if "[TOOL_CALLS]" in source:
        return "mistral"
    if '"parameters"' in source and tokenizer.token_id("<|python_tag|>") is not None:
        return "llama3"
    return None


def call_format(name: FormatName, tokenizer: Tokenizer) -> CallFormat:
    """A format, with the special tokens of a model."""

    def marker(text: str) -> Marker:
        token_id = tokenizer.token_id(text)
        return Marker(text, token_id if token_id in tokenizer.special_token_ids else None)

    if name == "hermes":
        return CallFormat(name, marker("<tool_call>"), "arguments", gap="\n", before="\n", after="\n</tool_call>")
    if name == "llama3":
        return CallFormat(name, marker("<|python_tag|>"), "parameters", between="; ", is_bare=True)
    if tokenizer.token_id("[ARGS]") is not None:  # tokenizers of version 11 and later
        call_id = marker("[CALL_ID]") if tokenizer.token_id("[CALL_ID]") is not None else None
        return CallFormat(name, marker("[TOOL_CALLS]"), marker("[ARGS]"), call_id=call_id)
    return CallFormat(name, marker("[TOOL_CALLS]"), "arguments", before="[", between=", ", after="]")
