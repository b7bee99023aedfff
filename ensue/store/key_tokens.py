"""What a caller sends to show which key is meant: random texts, and the digests that stand for them in the database."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_PREFIX = "sk-ensue-"  # noqa: S105
TOKEN_LENGTH = len(TOKEN_PREFIX) + 43  # 62⁴³ > 2²⁵⁶
HINT_LENGTH = 4
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def make_token() -> str:
    """`sk-ensue-` and 32 random bytes in base 62, always `TOKEN_LENGTH` characters."""
    number = int.from_bytes(secrets.token_bytes(32), "big")
    digits = []
    for _ in range(TOKEN_LENGTH - len(TOKEN_PREFIX)):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return TOKEN_PREFIX + "".join(reversed(digits))


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def hint_of(token: str) -> str:
    """The end of a token, by which a person tells keys apart."""
    return token[-HINT_LENGTH:]
