"""The networks of a Krea 2: a transformer on packed latents, and the vision-language model by which it reads."""

from functools import cache
from typing import Any

import torch
from diffusers.models.transformers.transformer_krea2 import Krea2TextFusionBlock, Krea2TransformerBlock
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from trainer.models.denoiser import TextEmbeddings
from trainer.models.dit.denoiser import DitDenoiser
from trainer.models.krea2 import attention

BEFORE_TOKENS = 34  # at the beginning of each message, which are the same for all and not read
# https://github.com/huggingface/diffusers, examples/dreambooth/README_krea2.md: "the recommended layer set"
EMBEDDERS = ("img_in", "final_layer.linear", "text_fusion.projector", "txt_in.linear_1", "txt_in.linear_2")
TIME = ("time_embed.linear_1", "time_embed.linear_2", "time_mod_proj")


class Krea2Denoiser(DitDenoiser):
    """See `DitDenoiser`."""

    block_kinds = (Krea2TransformerBlock, Krea2TextFusionBlock)
    patch = 2
    targets = ("to_q", "to_k", "to_v", "to_out.0", "to_gate", "ff.up", "ff.down", *EMBEDDERS, *TIME)

    def __init__(self, transformer: Any, text_encoder: Any, layers: tuple[int, ...]) -> None:
        """`layers` are those of the text encoder that are read."""
        super().__init__(transformer, text_encoder)
        attention.simplify(transformer)
        self.layers = layers

    @property
    def width(self) -> int:
        """See `DitDenoiser`."""
        return int(self.transformer.hidden_size)

    @property
    def text_width(self) -> int:
        """The layers that are read, side by side."""
        return len(self.layers) * int(self.text_encoder.config.text_config.hidden_size)

    def read_states(self, tokens: Tensor, mask: Tensor) -> TextEmbeddings:
        """See `DitDenoiser`. Padding stands before the end of the message, and takes no places."""
        places = (mask.cumsum(dim=-1) - 1).clamp(min=0).expand(3, -1, -1)  # in time, height and width alike
        how = {"position_ids": places, "output_hidden_states": True, "use_cache": False}
        states = self.text_encoder(input_ids=tokens, attention_mask=mask.bool(), **how).hidden_states
        read = torch.cat([states[layer] for layer in self.layers], dim=-1)
        return TextEmbeddings(read[:, BEFORE_TOKENS:], mask=mask[:, BEFORE_TOKENS:].bool())

    def velocity(self, noisy: Tensor, sigma: Tensor, reading: TextEmbeddings) -> Tensor:
        """See `DitDenoiser`."""
        packed = pixel_unshuffle(noisy, self.patch)
        predicted: Tensor = self.transformer(
            hidden_states=packed.flatten(2).transpose(1, 2),
            encoder_hidden_states=torch.unflatten(reading.tokens, -1, (len(self.layers), -1)),
            timestep=sigma.to(noisy.dtype),
            position_ids=_positions(reading.tokens.shape[1], packed.shape[2], packed.shape[3], noisy.device),
            encoder_attention_mask=reading.mask,
            return_dict=False,
        )[0]
        return pixel_shuffle(predicted.transpose(1, 2).reshape(packed.shape), self.patch)


@cache  # to make it anew at each step would have the step wait for the device
def _positions(tokens: int, height: int, width: int, device: torch.device) -> Tensor:
    """Places in three dimensions, n × 3: of the words, all at the origin, and of a frame of patches, row by row."""
    axes = (torch.arange(size, device=device) for size in (1, height, width))
    return torch.cat([torch.zeros(tokens, 3, device=device), torch.cartesian_prod(*axes).float()])
