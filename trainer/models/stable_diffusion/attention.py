"""Attention as Stable Diffusion's UNets have it, without what diffusers' own can do besides.

That looks up at each pass what its processor is called with, and asks for norms, masks and residuals that are not
there: in small steps, and wherever a GPU waits for Python, this takes longer than attention itself.
"""

from typing import Any

from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional


class PlainAttention(Attention):  # type: ignore[misc]
    """Four projections and the scaled dot product (Vaswani et al. 2017, eq. 1): bit for bit as its parent does."""

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **rest: Any) -> Tensor:
        """Look from `hidden_states`, b × n × width, at these themselves or at the prompt, b × tokens × its width."""
        if any(option is not None for option in rest.values()):  # a mask, say, which nobody here gives
            return super().forward(hidden_states, encoder_hidden_states, **rest)  # type: ignore[no-any-return]
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = self.to_q(hidden_states), self.to_k(seen), self.to_v(seen)
        by_head = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projected)
        attended = functional.scaled_dot_product_attention(*by_head).transpose(1, 2).flatten(2)
        output: Tensor = self.to_out[0](attended)
        return output


def simplify(unet: nn.Module) -> None:
    """Have every attention of a UNet that is plain do no more than that."""
    for module in unet.modules():
        if type(module) is Attention and _is_plain(module):
            module.__class__ = PlainAttention


def _is_plain(attention: Attention) -> bool:
    """Whether it neither norms nor drops nor adds anything of its own."""
    extras = (attention.group_norm, attention.spatial_norm, attention.norm_cross, attention.norm_q, attention.norm_k)
    scales = attention.residual_connection or attention.rescale_output_factor != 1 or attention.to_out[1].p
    return type(attention.processor) is AttnProcessor2_0 and not any(extras) and not scales
