"""Attention, norms and gates of Krea 2 as diffusers has them, with the operations of `fast_ops`.

Compiled blocks keep diffusers' own, which the compiler fuses better.
"""

from typing import Any

import torch
from diffusers.models.transformers.transformer_krea2 import (
    Krea2Attention,
    Krea2AttnProcessor,
    Krea2RMSNorm,
    Krea2SwiGLU,
)
from torch import Tensor, nn

from trainer.models.dit.fast_ops import attention, gated, rms_norm, turns_of


def simplify(transformer: nn.Module) -> None:
    """Have a transformer's attention, norms and gates do no more than this."""
    for module in transformer.modules():
        if isinstance(module, Krea2Attention) and type(module.processor) is Krea2AttnProcessor:
            module.set_processor(FastAttention())
        elif type(module) is Krea2RMSNorm:
            module.__class__ = FastRMSNorm
        elif type(module) is Krea2SwiGLU:
            module.__class__ = FastSwiGLU


class FastRMSNorm(Krea2RMSNorm):  # type: ignore[misc]
    """Before attention and gates, and of queries and keys."""

    def forward(self, hidden_states: Tensor, turns: Tensor | None = None) -> Tensor:
        """See `rms_norm`; weights are kept as their distance to one."""
        if torch.compiler.is_compiling():
            return super().forward(hidden_states)  # type: ignore[no-any-return]
        return rms_norm(hidden_states, self.weight + 1, self.eps, turns)


class FastSwiGLU(Krea2SwiGLU):  # type: ignore[misc]
    """The network behind attention, of three projections."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """See `gated`."""
        if torch.compiler.is_compiling():
            return super().forward(hidden_states)  # type: ignore[no-any-return]
        projected: Tensor = self.down(gated(self.gate(hidden_states), self.up(hidden_states)))
        return projected


class FastAttention(Krea2AttnProcessor):  # type: ignore[misc]
    """Attention whose queries share keys and values in groups, with a gate at its end."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Any:
        """See `Krea2AttnProcessor`."""
        if torch.compiler.is_compiling():
            return super().__call__(attn, hidden_states, attention_mask, image_rotary_emb)
        projected = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        query, key, value = (torch.unflatten(part, -1, (-1, attn.head_dim)) for part in projected)
        turns = None if image_rotary_emb is None else turns_of(*image_rotary_emb)
        query, key = attn.norm_q(query, turns), attn.norm_k(key, turns)
        groups = attn.num_heads // attn.num_kv_heads
        if groups > 1:  # some kernels take no mask beside shared keys
            key, value = (part.repeat_interleave(groups, dim=2) for part in (key, value))
        attended = attention(query, key, value, attention_mask)
        return attn.to_out[0](attended * torch.sigmoid(attn.to_gate(hidden_states)))
