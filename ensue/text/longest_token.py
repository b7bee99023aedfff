"""How much text one token can stand for: with it, a text that is too long is refused before it is encoded.

Encoding drops text in many ways; where any of them is possible there is no bound, and the encoded length decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ensue.text.token_bytes import byte_characters

COMPOSED = 4  # most characters that NFC and NFKC write as one: a letter with three marks

_NORMALIZERS = {"NFC": COMPOSED, "NFKC": COMPOSED, "NFD": 1, "NFKD": 1, "Prepend": 1, "ByteLevel": 1, "Lowercase": 1}
_KEEPING = {"ByteLevel", "Metaspace", "Digits", "UnicodeScripts", "FixedLength"}
_SPLITTING = {"Split", "Punctuation"}  # keep the text unless they remove what they split at

Step = Mapping[str, Any]


def longest_token_chars(layout: Step) -> int | None:
    """Characters of text per token, at most; None without a bound.

    Args:
        layout: the content of a tokenizer.json.
    """
    normalizers = list(_steps(layout["normalizer"], "normalizers"))
    pre_tokenizers = list(_steps(layout["pre_tokenizer"], "pretokenizers"))
    steps = {step["type"] for step in (*normalizers, *pre_tokenizers)}
    added = layout["added_tokens"]
    if any(token["lstrip"] or token["rstrip"] for token in added):  # swallows all white space beside it
        return None
    if not all(map(_keeps, pre_tokenizers)) or not _knows_all(layout["model"], "ByteLevel" in steps):
        return None
    tokens = (*_vocabulary(layout["model"]), *(token["content"] for token in added))
    longest = max(map(len, tokens), default=1)
    for normalizer in normalizers:
        factor = _shrinking(normalizer)
        if factor is None:
            return None
        longest *= factor
    return longest


def _steps(step: Step | None, key: str) -> Iterable[Step]:
    if step is None:
        return
    if step["type"] != "Sequence":
        yield step
        return
    for inner in step[key]:
        yield from _steps(inner, key)


def _shrinking(normalizer: Step) -> int | None:
    """How many characters it may write as one."""
    match normalizer:
        case {"type": "Replace", "pattern": {"String": str(pattern)}, "content": str(content)}:
            return 1 if len(content) >= len(pattern) else None
        case {"type": kind}:
            return _NORMALIZERS.get(kind)
    return None


def _keeps(pre_tokenizer: Step) -> bool:
    kind = pre_tokenizer["type"]
    return kind in _KEEPING or (kind in _SPLITTING and pre_tokenizer["behavior"] != "Removed")


def _vocabulary(model: Step) -> Iterable[str]:
    vocab = model["vocab"]
    return vocab if isinstance(vocab, Mapping) else (piece for piece, _ in vocab)


def _knows_all(model: Step, is_byte_level: bool) -> bool:
    """Whether every character has tokens; an unknown one is dropped, or many of them are one unknown-token."""
    pieces = set(_vocabulary(model))
    if is_byte_level and pieces.issuperset(byte_characters()):
        return True
    if model.get("byte_fallback") and pieces.issuperset(f"<0x{byte:02X}>" for byte in range(256)):
        return True
    return model["type"] == "BPE" and model["unk_token"] is not None and not model["fuse_unk"]
