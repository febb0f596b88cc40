"""Attention, norms and gates of Z-Image as diffusers has them, with the operations of `fast_ops`.

Compiled blocks keep diffusers' own, which the compiler fuses better.
"""

from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.normalization import RMSNorm
from diffusers.models.transformers.transformer_z_image import FeedForward, ZSingleStreamAttnProcessor
from torch import Tensor, nn

from trainer.models.dit.fast_ops import attention, gated, rms_norm


def simplify(transformer: nn.Module) -> None:
    """Have a transformer's attention, norms and gates do no more than this."""
    for module in transformer.modules():
        if isinstance(module, Attention) and type(module.processor) is ZSingleStreamAttnProcessor:
            if module.norm_q is not None and module.norm_k is not None:
                module.set_processor(FastAttention())
        elif type(module) is RMSNorm and module.weight is not None and module.bias is None:
            module.__class__ = FastRMSNorm
        elif type(module) is FeedForward:
            module.__class__ = FastFeedForward


class FastRMSNorm(RMSNorm):  # type: ignore[misc]
    """Before and after attention and feed-forward network."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """See `rms_norm`."""
        if torch.compiler.is_compiling():
            return super().forward(hidden_states)  # type: ignore[no-any-return]
        return rms_norm(hidden_states, self.weight, self.eps)


class FastFeedForward(FeedForward):  # type: ignore[misc]
    """The network behind attention, of three projections."""

    def _forward_silu_gating(self, x1: Tensor, x3: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return super()._forward_silu_gating(x1, x3)  # type: ignore[no-any-return]
        return gated(x1, x3)


class FastAttention(ZSingleStreamAttnProcessor):  # type: ignore[misc]
    """Attention of picture and words in one sequence."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        freqs_cis: Tensor | None = None,
    ) -> Any:
        """See `ZSingleStreamAttnProcessor`."""
        if freqs_cis is None or torch.compiler.is_compiling():
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, freqs_cis)
        projected = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        query, key, value = (torch.unflatten(part, -1, (attn.heads, -1)) for part in projected)
        turns = freqs_cis.unsqueeze(2)
        query, key = (rms_norm(x, n.weight, n.eps, turns) for x, n in ((query, attn.norm_q), (key, attn.norm_k)))
        mask = None if attention_mask is None else attention_mask[:, None, None, :]  # of tokens that others see
        return attn.to_out[0](attention(query, key, value, mask))
