"""Attention and gates of FLUX.2 [klein] as diffusers has them, with the operations of `fast_ops`.

Compiled blocks keep diffusers' own, which the compiler fuses better.
"""

from typing import Any

import torch
from diffusers.models.transformers.transformer_flux2 import (
    Flux2Attention,
    Flux2AttnProcessor,
    Flux2ParallelSelfAttention,
    Flux2ParallelSelfAttnProcessor,
    Flux2SwiGLU,
)
from torch import Tensor, nn

from trainer.models.dit.fast_ops import attention, rms_norm, swiglu, turns_of

Rotations = tuple[Tensor, Tensor]  # cosines and sines, tokens × width of a head, each twice


def simplify(transformer: nn.Module) -> None:
    """Have a transformer's attention and gates do no more than this."""
    for module in transformer.modules():
        if isinstance(module, Flux2Attention) and type(module.processor) is Flux2AttnProcessor:
            module.set_processor(FastJointAttention())
        elif (
            isinstance(module, Flux2ParallelSelfAttention) and type(module.processor) is Flux2ParallelSelfAttnProcessor
        ):
            module.set_processor(FastSelfAttention())
        elif type(module) is Flux2SwiGLU:
            module.__class__ = FastSwiGLU


class FastSwiGLU(Flux2SwiGLU):  # type: ignore[misc]
    """The gate of both kinds of blocks."""

    def forward(self, x: Tensor) -> Tensor:
        """See `swiglu`."""
        return super().forward(x) if torch.compiler.is_compiling() else swiglu(x)


class FastJointAttention(Flux2AttnProcessor):  # type: ignore[misc]
    """Attention of words and picture with weights of their own, the words first."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotations | None = None,
    ) -> Any:
        """See `Flux2AttnProcessor`."""
        words = encoder_hidden_states
        if words is None or image_rotary_emb is None or attention_mask is not None or torch.compiler.is_compiling():
            return super().__call__(attn, hidden_states, words, attention_mask, image_rotary_emb)
        turns, count = turns_of(*image_rotary_emb), words.shape[1]

        def by_head(x: Tensor) -> Tensor:
            return torch.unflatten(x, -1, (-1, attn.head_dim))

        queries = [
            rms_norm(by_head(attn.add_q_proj(words)), *_of(attn.norm_added_q), turns[:count]),
            rms_norm(by_head(attn.to_q(hidden_states)), *_of(attn.norm_q), turns[count:]),
        ]
        keys = [
            rms_norm(by_head(attn.add_k_proj(words)), *_of(attn.norm_added_k), turns[:count]),
            rms_norm(by_head(attn.to_k(hidden_states)), *_of(attn.norm_k), turns[count:]),
        ]
        values = [by_head(attn.add_v_proj(words)), by_head(attn.to_v(hidden_states))]
        attended = attention(*(torch.cat(parts, dim=1) for parts in (queries, keys, values)))
        return attn.to_out[0](attended[:, count:]), attn.to_add_out(attended[:, :count])


class FastSelfAttention(Flux2ParallelSelfAttnProcessor):  # type: ignore[misc]
    """Attention of words and picture alike, beside whose projections lie those of a gate."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotations | None = None,
    ) -> Any:
        """See `Flux2ParallelSelfAttnProcessor`."""
        if image_rotary_emb is None or attention_mask is not None or torch.compiler.is_compiling():
            return super().__call__(attn, hidden_states, attention_mask, image_rotary_emb)
        width, gate = attn.inner_dim, attn.mlp_hidden_dim * attn.mlp_mult_factor
        *parts, gated = attn.to_qkv_mlp_proj(hidden_states).split([width, width, width, gate], dim=-1)
        query, key, value = (torch.unflatten(part, -1, (-1, attn.head_dim)) for part in parts)
        turns = turns_of(*image_rotary_emb)
        query, key = rms_norm(query, *_of(attn.norm_q), turns), rms_norm(key, *_of(attn.norm_k), turns)
        return attn.to_out(torch.cat([attention(query, key, value), attn.mlp_act_fn(gated)], dim=-1))


def _of(norm: Any) -> tuple[Tensor, float]:
    return norm.weight, norm.eps
