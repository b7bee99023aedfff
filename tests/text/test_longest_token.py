"""The bound on a token's text holds, and where text may vanish there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from ensue.text.tokenizer import Tokenizer
from tests.text.conftest import byte_level, gemma_like, sentence_piece, unigram, words

Change = Callable[[tokenizers.Tokenizer], object]


def bound(backend: tokenizers.Tokenizer) -> int | None:
    return Tokenizer(backend, {}, None).longest_token_chars


def normalized(normalizer: normalizers.Normalizer) -> Tokenizer:
    backend = byte_level()
    backend.normalizer = normalizer
    return Tokenizer(backend, {}, None)


BOUNDED = [
    Tokenizer(byte_level(), {}, None),
    normalized(normalizers.NFC()),
    normalized(normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])),
    normalized(normalizers.NFD()),
]
composable = st.text(st.sampled_from("aα\u0313\u0300\u0345ᾂ각\u1100\u1161\u11a8ﷺé e\u0301"), max_size=40)


@settings(deadline=None)
@given(text=st.one_of(composable, st.text(st.characters(codec="utf-8"), max_size=40)))
def test_no_token_stands_for_more_than_the_bound(text: str) -> None:
    for tokenizer in BOUNDED:
        longest = tokenizer.longest_token_chars
        assert longest is not None
        assert len(text) <= longest * len(tokenizer.encode(text, add_special_tokens=False))


CHANGES: dict[str, Change] = {
    "strips": lambda backend: setattr(backend, "normalizer", normalizers.Strip()),
    "collapses": lambda backend: setattr(backend, "normalizer", normalizers.Replace(Regex(" +"), " ")),
    "deletes": lambda backend: setattr(backend, "normalizer", normalizers.Replace("a", "")),
    "drops marks": lambda backend: setattr(backend, "normalizer", normalizers.StripAccents()),
    "swallows space": lambda backend: backend.add_tokens([AddedToken("<x>", lstrip=True)]),
    "removes splits": lambda backend: setattr(backend, "pre_tokenizer", pre_tokenizers.Split(" ", "removed")),
    "knows no bytes": lambda backend: setattr(backend, "pre_tokenizer", None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_there_is_no_bound_where_text_may_vanish(change: Change) -> None:
    backend = byte_level()
    assert bound(backend) is not None
    change(backend)
    assert bound(backend) is None


def test_bytes_that_no_token_has_are_dropped_so_there_is_no_bound() -> None:
    backend = tokenizers.Tokenizer(models.BPE({"a": 0}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    assert Tokenizer(backend, {}, None).encode("ЖЖЖ") == []
    assert bound(backend) is None


@pytest.mark.parametrize(
    ("make", "has_bound"),
    [(gemma_like, False), (sentence_piece, False), (unigram, False), (words, False), (byte_level, True)],
)
def test_the_families(make: Callable[[], tokenizers.Tokenizer], has_bound: bool) -> None:
    assert (bound(make()) is not None) is has_bound


def test_byte_tokens_leave_nothing_unknown() -> None:
    vocab = {token: n for n, token in enumerate(["<unk>", "▁", "abc", *(f"<0x{b:02X}>" for b in range(256))])}
    backend = tokenizers.Tokenizer(models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    assert bound(backend) == len("<0xFF>")


def test_single_unknown_tokens_are_bounded_and_fused_ones_are_not() -> None:
    vocab = {"<unk>": 0, "ab": 1}
    assert bound(tokenizers.Tokenizer(models.BPE(vocab, [], unk_token="<unk>"))) == len("<unk>")
    assert bound(tokenizers.Tokenizer(models.BPE(vocab, [], unk_token="<unk>", fuse_unk=True))) is None
