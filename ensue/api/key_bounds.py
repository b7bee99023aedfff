"""How much one request may ask for: its values against the rights of its key. The server's limits are bounds.py's."""

from __future__ import annotations

from ensue.api.bodies import ChatBody, CompletionBody, GenerationBody
from ensue.api.bounds import num_sequences
from ensue.errors import PermissionDenied
from ensue.rights import KeyRights


def check_key_bounds(body: CompletionBody | ChatBody, max_tokens: int | None, rights: KeyRights | None) -> None:
    """
    Raises:
        PermissionDenied: with the field in `param`.
    """
    if rights is None:
        return
    if rights.max_tokens is not None and (max_tokens or 0) > rights.max_tokens:
        name = "max_completion_tokens" if body.max_tokens is None else "max_tokens"
        raise PermissionDenied(f"This API key allows {name} up to {rights.max_tokens}.", param=name)
    if rights.max_n is not None and num_sequences(body) > rights.max_n:
        name = "n" if body.best_of is None or body.n > rights.max_n else "best_of"
        raise PermissionDenied(f"This API key allows n and best_of up to {rights.max_n}.", param=name)


def default_max_tokens(usual: int | None, rights: KeyRights | None) -> int | None:
    """Where a request says nothing: the usual default, or the key's ceiling if that is less; None is no bound."""
    ceiling = None if rights is None else rights.max_tokens
    return min((value for value in (usual, ceiling) if value is not None), default=None)


def priority_of(body: GenerationBody, rights: KeyRights | None) -> int:
    """What is asked for, else what the key has.

    Raises:
        PermissionDenied: more urgent than the key is.
    """
    lowest = 0 if rights is None else rights.priority
    if body.priority is None:
        return lowest
    if rights is not None and body.priority < lowest:
        raise PermissionDenied(f"This API key allows priority from {lowest} upward.", param="priority")
    return body.priority
