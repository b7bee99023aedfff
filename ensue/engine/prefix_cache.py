"""Which blocks hold which tokens: full blocks, found again by a chained hash. Knows neither owners nor contents.

A block's hash covers every token up to its end and the salt of its request, so that blocks with one hash hold the same
keys and values, and requests with different salts never meet. The key of the hash is drawn once a process: nobody
outside can compute or predict a hash.
"""

from __future__ import annotations

import hashlib
import secrets
from array import array
from collections.abc import Iterable, Sequence


class PrefixCache:
    """The index; each hash stands for one block, and each block for one hash at most."""

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._key = secrets.token_bytes(32)
        self._blocks: dict[bytes, int] = {}
        self._hashes: dict[int, bytes] = {}

    def __contains__(self, block: int) -> bool:
        return block in self._hashes

    def chain(
        self, token_ids: Sequence[int], salt: bytes, num_blocks: int, known: tuple[bytes, ...] = ()
    ) -> tuple[bytes, ...]:
        """The hashes of a sequence's first `num_blocks` blocks, or more where more are known."""
        hashes = list(known)
        for index in range(len(known), num_blocks):
            parent = hashes[-1] if hashes else self._digest(salt, b"salt")
            ids = array("q", token_ids[index * self._block_size : (index + 1) * self._block_size])
            hashes.append(self._digest(parent + ids.tobytes(), b"block"))
        return tuple(hashes)

    def find(self, hashes: Iterable[bytes]) -> list[int]:
        """The blocks of a chain, up to the first that is not there."""
        found = []
        for digest in hashes:
            block = self._blocks.get(digest)
            if block is None:
                break
            found.append(block)
        return found

    def add(self, block: int, digest: bytes) -> None:
        """Make a block findable, unless another one with the same contents is."""
        assert block not in self._hashes or self._hashes[block] == digest
        if digest not in self._blocks:
            self._blocks[digest] = block
            self._hashes[block] = digest

    def forget(self, block: int) -> None:
        """Let a block be found no more, because its contents are about to change or not to be trusted."""
        digest = self._hashes.pop(block, None)
        if digest is not None:
            del self._blocks[digest]

    def _digest(self, data: bytes, purpose: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=32, key=self._key, person=purpose).digest()
