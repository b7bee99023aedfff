"""Filling in the middle: where a text, its gap and what follows stand among a tokenizer's own sentinel tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ensue.text.tokenizer import Tokenizer

ANCHOR = "☺"  # written before a text that must not be encoded as the beginning of one


@dataclass(frozen=True, slots=True)
class Family:
    """Sentinels around prefix and suffix; the model writes the middle after the last."""

    prefix: str
    suffix: str
    middle: str
    ends: tuple[str, ...]  # tokens that end the middle: a text's end, padding, what goes between files


FAMILIES = (
    # Qwen2.5-Coder (https://arxiv.org/abs/2409.12186), CodeGemma (https://arxiv.org/abs/2406.11409)
    Family(
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ("<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<|endoftext|>", "<|file_separator|>"),
    ),
    # StarCoder (https://arxiv.org/abs/2305.06161, https://arxiv.org/abs/2402.19173)
    Family(
        "<fim_prefix>",
        "<fim_suffix>",
        "<fim_middle>",
        ("<fim_pad>", "<file_sep>", "<filename>", "<repo_name>", "<reponame>", "<|endoftext|>"),
    ),
    # Code Llama (https://arxiv.org/abs/2308.12950)
    Family("▁<PRE>", "▁<SUF>", "▁<MID>", ("▁<EOT>",)),
    # DeepSeek-Coder (https://arxiv.org/abs/2401.14196)
    Family(
        "<｜fim▁begin｜>",
        "<｜fim▁hole｜>",
        "<｜fim▁end｜>",
        ("<｜end▁of▁sentence｜>", "<|EOT|>"),
    ),
)


@dataclass(frozen=True, slots=True)
class FimFormat:
    """The ids around prefix and suffix, in the order of the text, and those that end the middle."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    end_token_ids: tuple[int, ...]
    is_suffix_first: bool = False

    def join(self, prefix_ids: Sequence[int], suffix_ids: Sequence[int]) -> tuple[int, ...]:
        first, second = (suffix_ids, prefix_ids) if self.is_suffix_first else (prefix_ids, suffix_ids)
        return (*self.before, *first, *self.between, *second, *self.after)


def fim_format(tokenizer: Tokenizer) -> FimFormat | None:
    """The template of the model's own files, else the sentinels of a family that its vocabulary has; None without."""
    if tokenizer.fim_template is not None:
        return _from_template(tokenizer.fim_template, tokenizer)
    return next(_from_families(tokenizer), None)


def suffix_ids(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Encode a text that goes on after something: without the space that some tokenizers put before every text."""
    anchor = tokenizer.encode(ANCHOR, add_special_tokens=False)
    if anchor and tokenizer.token_bytes(anchor[0]).startswith(b" "):
        anchored = tokenizer.encode(ANCHOR + text, add_special_tokens=False)
        if anchored[: len(anchor)] == anchor:
            return tuple(anchored[len(anchor) :])
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def _from_families(tokenizer: Tokenizer) -> Iterator[FimFormat]:
    for family in FAMILIES:
        before, between, after = map(tokenizer.token_id, (family.prefix, family.suffix, family.middle))
        if before is not None and between is not None and after is not None:
            yield FimFormat((before,), (between,), (after,), _ids(family.ends, tokenizer))


def _from_template(template: str, tokenizer: Tokenizer) -> FimFormat:
    """Its own text is encoded as that of prompts is: sentinels in it are parsed."""
    is_suffix_first = template.index("{suffix}") < template.index("{prefix}")
    pieces = template.replace("{suffix}", "{prefix}").split("{prefix}")
    before, between, after = (tuple(tokenizer.encode(piece, add_special_tokens=False)) for piece in pieces)
    ends = dict.fromkeys(end for family in FAMILIES for end in family.ends)
    return FimFormat(before, between, after, _ids(tuple(ends), tokenizer), is_suffix_first)


def _ids(tokens: Sequence[str], tokenizer: Tokenizer) -> tuple[int, ...]:
    return tuple(id_ for token in tokens if (id_ := tokenizer.token_id(token)) is not None)
