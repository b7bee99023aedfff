"""One decoder for the Llama-like families: what differs between them stands in ModelConfig.

    x = embed(token)
    per layer:  x += o(attend(rope(qkv(norm(x)))))
                x += down(silu(gate(norm(x))) · up(norm(x)))
    logits = head(norm(x))

Rows don't feel one another: linears by their row rule, attention by its kernel, the rest row by row. Knows positions
and blocks, not whose they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ensue.model import ops
from ensue.model.attention import AttentionBatch, KVCache
from ensue.model.config import ModelConfig
from ensue.model.linear import Linear
from ensue.model.rope import attention_factor, inverse_frequencies
from ensue.outputs import SelfTest


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer; norms are [hidden_size], those of heads [head_dim]."""

    input_norm: Tensor
    qkv: Linear  # the rows of q, k and v, one below the other
    q_norm: Tensor | None
    k_norm: Tensor | None
    o: Linear
    post_attention_norm: Tensor
    gate: Linear
    up: Linear
    down: Linear

    def linears(self) -> Iterator[Linear]:
        yield from (self.qkv, self.o, self.gate, self.up, self.down)


class Decoder:
    """A loaded model."""

    def __init__(
        self, config: ModelConfig, embedding: Tensor, layers: list[Layer], final_norm: Tensor, head: Linear
    ) -> None:
        """
        Args:
            embedding: [vocab_size, hidden_size], in the dtype of the computation.
        """
        self.config = config
        self.self_test: SelfTest | None = None
        self._embedding = embedding
        self._layers = layers
        self._final_norm = final_norm
        self._head = head
        table = ops.rope_table(
            inverse_frequencies(config.rope, config.head_dim), config.max_model_len, attention_factor(config.rope)
        )
        self._rope_table = table.to(embedding.device)  # [max_model_len, 2, head_dim / 2]

    @property
    def dtype(self) -> torch.dtype:
        """Of activations, and of the cache."""
        return self._embedding.dtype

    @property
    def device(self) -> torch.device:
        return self._embedding.device

    def linears(self) -> list[Linear]:
        """All of them, the head included."""
        return [*(linear for layer in self._layers for linear in layer.linears()), self._head]

    def forward(self, token_ids: Tensor, batch: AttentionBatch, cache: KVCache) -> Tensor:
        """Compute rows and put their keys and values into the cache.

        Args:
            token_ids: int64 [num_tokens].

        Returns:
            [num_tokens, hidden_size] after the final norm.
        """
        x = self._embedding[token_ids]
        for index, layer in enumerate(self._layers):
            x = self._attention(index, layer, x, batch, cache)
            x = self._mlp(layer, x)
        return ops.rms_norm(x, self._final_norm, self.config.rms_norm_eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """[num_rows, hidden_size] → float32 [num_rows, vocab_size]."""
        return self._head(hidden).float()

    def _attention(self, index: int, layer: Layer, x: Tensor, batch: AttentionBatch, cache: KVCache) -> Tensor:
        config, num_tokens = self.config, x.shape[0]
        qkv = layer.qkv(ops.rms_norm(x, layer.input_norm, config.rms_norm_eps))
        heads = qkv.view(num_tokens, -1, config.head_dim)  # [num_tokens, q heads, then k heads, then v heads, head_dim]
        q, k, v = torch.split(heads, [config.num_heads, config.num_kv_heads, config.num_kv_heads], dim=1)
        q, k = ops.rope(
            q, k, batch.positions, self._rope_table, q_norm=layer.q_norm, k_norm=layer.k_norm, eps=config.rms_norm_eps
        )
        return layer.o(cache.attend(index, q, k, v, batch), add=x)

    def _mlp(self, layer: Layer, x: Tensor) -> Tensor:
        normed = ops.rms_norm(x, layer.post_attention_norm, self.config.rms_norm_eps)
        return layer.down(layer.up(normed, multiply=layer.gate(normed, activation="silu")), add=x)
