"""Arithmetic up to two digits. One sum in ten is held out, under every phrasing."""

from typing import NamedTuple

from training.grammar import Split, Voice, held_out

PLAIN_MAX = 99


class Sum(NamedTuple):
    left: int
    sign: str
    right: int

    @property
    def result(self) -> int:
        return {"+": self.left + self.right, "-": self.left - self.right, "*": self.left * self.right}[self.sign]

    @property
    def question(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


def is_held_out(item: Sum) -> bool:
    """The one-digit table is shown whole, so that larger sums can be built on it."""
    small = max(item.left, item.right) < 10 or item.sign == "*"
    return not small and held_out(item.question, one_in=10)


def random_sum(voice: Voice) -> Sum:
    """A sum that this split may use; results lie in [0, 198]."""
    item = _any_sum(voice)
    wanted = voice.split is Split.PATTERNS
    return item if is_held_out(item) == wanted else random_sum(voice)


def _any_sum(voice: Voice) -> Sum:
    if voice.chance(0.2) and voice.split is not Split.PATTERNS:
        return Sum(voice.number(0, 9), voice.choice("+*"), voice.number(0, 9))
    high = voice.choice((20, PLAIN_MAX))
    left, right = voice.number(0, high), voice.number(0, high)
    if voice.chance(0.6):
        return Sum(left, "+", right)
    return Sum(max(left, right), "-", min(left, right))


def sheet(voice: Voice) -> str:
    """A page of sums, one a line."""
    lines = (random_sum(voice) for _ in range(voice.number(4, 30)))
    return "\n".join(f"{item.question} = {item.result}" for item in lines)
