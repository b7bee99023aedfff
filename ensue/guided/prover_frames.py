"""What the API's process and the prover say to each other: u32 length, then JSON."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.constraint import Constraint
from ensue.guided.vocabulary import Vocabulary
from ensue.request import CompiledGrammar

LENGTH_BYTES = 4

Outcome = CompiledGrammar | InvalidGrammar


def frame(message: Any) -> bytes:
    data = json.dumps(message).encode()
    return len(data).to_bytes(LENGTH_BYTES, "little") + data


def hello(vocabulary: Vocabulary) -> bytes:
    """The first frame to a prover."""
    return frame({"tokens": [token.hex() for token in vocabulary.tokens], "special": sorted(vocabulary.special_ids)})


def read_hello(message: Any) -> Vocabulary:
    return Vocabulary(tuple(map(bytes.fromhex, message["tokens"])), frozenset(message["special"]))


def question(constraint: Constraint) -> bytes:
    return frame(asdict(constraint))


def read_question(message: Any) -> Constraint:
    return Constraint(**message)


def answer(outcome: Outcome, *, is_last: bool) -> bytes:
    """
    Args:
        is_last: the prover has grown, and ends after this.
    """
    if isinstance(outcome, InvalidGrammar):
        return frame({"message": outcome.message, "param": outcome.param, "is_last": is_last})
    payload, digest = (base64.b64encode(data).decode() for data in (outcome.payload, outcome.digest))
    return frame({"backend": outcome.backend, "payload": payload, "digest": digest, "is_last": is_last})


def read_answer(data: bytes) -> tuple[Outcome, bool]:
    message = json.loads(data)
    if "message" in message:
        return InvalidGrammar(message["message"], param=message["param"]), message["is_last"]
    payload, digest = (base64.b64decode(message[name]) for name in ("payload", "digest"))
    return CompiledGrammar(message["backend"], payload, digest), message["is_last"]
