"""Stop strings: the earliest match, the longest on ties, nothing leaked, nothing held back in vain."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from ensue.text.stop import StopMatch, StopMatcher

small_text = st.text("abc", max_size=12)
stop_strings = st.lists(st.text("abc", min_size=1, max_size=4), min_size=0, max_size=4)


def reference(
    stops: list[str], pieces: list[str], num_free: int = 0, *, keeps_stop: bool = False
) -> tuple[str, StopMatch | None]:
    """Look at the whole text after each piece, as the definition says; what ends in the first ones is no match."""
    text, free = "", sum(map(len, pieces[:num_free]))
    for piece in pieces:
        text += piece
        found = [StopMatch(s, i, i + len(s)) for s in stops for i in range(len(text)) if text.startswith(s, i)]
        found = [match for match in found if match.end > free]
        if found:
            match = min(found, key=lambda m: (m.start, -m.end))
            return text[: match.end if keeps_stop else match.start], match
    return text, None


@given(
    stops=stop_strings,
    pieces=st.lists(small_text, max_size=6),
    num_free=st.integers(0, 6),
    keeps_stop=st.booleans(),
)
def test_any_cut_equals_the_definition(stops: list[str], pieces: list[str], num_free: int, keeps_stop: bool) -> None:
    matcher = StopMatcher(stops, keeps_stop=keeps_stop)
    shown = [matcher.feed(piece, may_match=i >= num_free) for i, piece in enumerate(pieces)]
    assert ("".join(shown) + matcher.flush(), matcher.matched) == reference(
        stops, pieces, num_free, keeps_stop=keeps_stop
    )


@given(stops=stop_strings, pieces=st.lists(small_text, max_size=6))
def test_the_cut_does_not_matter_where_no_stop_contains_another(stops: list[str], pieces: list[str]) -> None:
    assume(not any(a != b and a in b for a in stops for b in stops))
    pieced, whole = StopMatcher(stops), StopMatcher(stops)
    shown = "".join(map(pieced.feed, pieces)) + pieced.flush()
    assert shown == whole.feed("".join(pieces)) + whole.flush()
    assert pieced.matched == whole.matched


@given(stops=stop_strings, text=small_text, num_free=st.integers(0, 12))
def test_only_a_live_prefix_is_held_back(stops: list[str], text: str, num_free: int) -> None:
    matcher = StopMatcher(stops)
    shown = ""
    for end, character in enumerate(text, start=1):
        shown += matcher.feed(character, may_match=end > num_free)
        if matcher.matched:
            return
        held = text[len(shown) : end]
        longest = max((n for s in stops for n in range(len(s)) if text[:end].endswith(s[:n])), default=0)
        assert len(held) == longest


def test_a_match_across_pieces_is_cut_before_it() -> None:
    matcher = StopMatcher(["\n\n", "END"])
    assert [matcher.feed(piece) for piece in ("one\n", "two\n", "\nthree")] == ["one", "\ntwo", ""]
    assert matcher.matched == StopMatch("\n\n", 7, 9)
    assert matcher.feed("more") == matcher.flush() == ""


def test_many_stops_cost_no_more_per_character() -> None:
    matcher = StopMatcher([f"stop number {n}" for n in range(10_000)])
    assert matcher.feed("stop numbe") == ""
    assert matcher.feed("!") == "stop numbe!"


@given(stops=stop_strings, text=small_text)
def test_nothing_is_held_back_where_the_stop_stays(stops: list[str], text: str) -> None:
    matcher = StopMatcher(stops, keeps_stop=True)
    for character in text:
        assert matcher.matched or matcher.feed(character) == character
