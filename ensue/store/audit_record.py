"""One record of the audit log: a line of JSON with a hash over itself and its predecessor's. Knows no files.

hash(n) = SHA-256(hash(n − 1) + canonical JSON of record n without its hash), hash(0) = 64 zeros
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

NO_HASH = "0" * 64

Value = str | int | bool | None | list[str]
Details = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what to what."""

    number: int  # from 1
    at: str  # ISO 8601, UTC
    event: str  # key.created, auth.refused, …
    actor: str  # a key's id, host:USER, or empty where nobody is known
    target: str  # a key's id, a route
    details: Details
    previous: str  # hash of the record before
    hash: str = ""

    @property
    def is_true_to_its_hash(self) -> bool:
        return self.hash == _hash(self._content())

    def hashed(self) -> AuditRecord:
        """The record with its hash."""
        return replace(self, hash=_hash(self._content()))

    def as_dict(self) -> dict[str, Any]:
        return self._content() | {"hash": self.hash}

    def line(self) -> bytes:
        return json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=True).encode() + b"\n"

    def _content(self) -> dict[str, Any]:
        return {
            "n": self.number,
            "at": self.at,
            "event": self.event,
            "actor": self.actor,
            "target": self.target,
            "details": dict(self.details),
            "prev": self.previous,
        }


def parse(line: bytes) -> AuditRecord | None:
    """The record of a line; None for one that a crash left unfinished."""
    try:
        value = json.loads(line)
        return AuditRecord(
            value["n"],
            value["at"],
            value["event"],
            value["actor"],
            value["target"],
            value["details"],
            value["prev"],
            value["hash"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256((str(content["prev"]) + text).encode()).hexdigest()
