"""Characters from bytes in any cut, and what becomes of broken ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.text.utf8 import Utf8Reader

near_utf8 = st.lists(
    st.one_of(
        st.binary(max_size=3),
        st.sampled_from(["é", "東", "🤖", "a\u0301"]).map(str.encode),
        st.sampled_from([b"\xe6\x9d", b"\xf0\x9f\xa4", b"\xed\xa0\x80", b"\xf4\x90", b"\xc0\xaf", b"\xef\xbf\xbd"]),
    ),
    max_size=6,
)


@given(pieces=near_utf8)
def test_any_cut_equals_the_whole(pieces: list[bytes]) -> None:
    reader = Utf8Reader(replaces_bytes=False)
    characters = [c for piece in pieces for c in reader.read(piece)] + reader.read(b"", is_last=True)
    data = b"".join(pieces)
    assert "".join(c.text for c in characters) == data.decode("utf-8", "replace")
    assert sum(c.num_bytes for c in characters) == len(data)


@pytest.mark.parametrize(
    ("data", "text"), [(b"\xf0\x9f\xa4A", "\ufffd\ufffd\ufffdA"), (b"\n\xe6\x9d", "\n\ufffd\ufffd")]
)
def test_each_byte_of_a_broken_character_may_be_one(data: bytes, text: str) -> None:
    reader = Utf8Reader(replaces_bytes=True)
    characters = [c for n in range(len(data)) for c in reader.read(data[n : n + 1])] + reader.read(b"", is_last=True)
    assert "".join(c.text for c in characters) == text


def test_the_start_of_a_character_waits() -> None:
    reader = Utf8Reader(replaces_bytes=False)
    assert reader.read("a東".encode()[:3]) == [("a", 1)]
    assert reader.read("東".encode()[2:]) == [("東", 3)]
