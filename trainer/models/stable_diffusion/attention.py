"""Attention as Stable Diffusion's UNets have it, without what diffusers' own can do besides.

That looks up at each pass what its processor is called with, and asks for norms, masks and residuals that are not
there: in small steps, and wherever a GPU waits for Python, this takes longer than attention itself.
"""

from typing import Any

from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional

Kept = dict[Any, tuple[Tensor, Tensor]]  # keys and values of a prompt, by the attention that looks at it


class PlainAttention(Attention):  # type: ignore[misc]
    """Four projections and the scaled dot product (Vaswani et al. 2017, eq. 1): bit for bit as its parent does."""

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, kept: Kept | None = None, **rest: Any
    ) -> Tensor:
        """Look from `hidden_states`, b × n × width, at these themselves or at the prompt, b × tokens × its width.

        Keys and values of the prompt are taken from `kept`, or put there.
        """
        if any(option is not None for option in rest.values()):  # a mask, say, which nobody here gives
            return super().forward(hidden_states, encoder_hidden_states, **rest)  # type: ignore[no-any-return]
        query = self._by_head(self.to_q(hidden_states))
        if encoder_hidden_states is None:
            seen = self._keys_and_values(hidden_states)
        elif kept is None:
            seen = self._keys_and_values(encoder_hidden_states)
        else:
            seen = kept[self] = kept.get(self) or self._keys_and_values(encoder_hidden_states)
        attended = functional.scaled_dot_product_attention(query, *seen).transpose(1, 2).flatten(2)
        output: Tensor = self.to_out[0](attended)
        return output

    def _keys_and_values(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        return self._by_head(self.to_k(seen)), self._by_head(self.to_v(seen))

    def _by_head(self, projected: Any) -> Tensor:
        by_head: Tensor = projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return by_head


def simplify(unet: nn.Module) -> bool:
    """Have every attention of a UNet that is plain do no more than that; return whether all are."""
    every = [module for module in unet.modules() if isinstance(module, Attention)]
    for module in every:
        if type(module) is Attention and _is_plain(module):
            module.__class__ = PlainAttention
    return all(type(module) is PlainAttention for module in every)


def _is_plain(attention: Attention) -> bool:
    """Whether it neither norms nor drops nor adds anything of its own."""
    extras = (attention.group_norm, attention.spatial_norm, attention.norm_cross, attention.norm_q, attention.norm_k)
    scales = attention.residual_connection or attention.rescale_output_factor != 1 or attention.to_out[1].p
    return type(attention.processor) is AttnProcessor2_0 and not any(extras) and not scales
