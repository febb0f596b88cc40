"""The networks of a FLUX.2 [klein]: a transformer on packed latents, and the language model by which it reads."""

from functools import cache
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux2 import Flux2SingleTransformerBlock, Flux2TransformerBlock
from torch import Tensor, nn

from trainer.models.denoiser import TextEmbeddings
from trainer.models.dit.denoiser import DitDenoiser
from trainer.models.flux2_klein import attention

READ_LAYERS = (9, 18, 27)  # of the language model, whose states stand side by side
FRAME_STEP = 10  # in the first dimension of places, from the picture to the first reference and so on


class Flux2KleinDenoiser(DitDenoiser):
    """See `DitDenoiser`."""

    block_kinds = (Flux2TransformerBlock, Flux2SingleTransformerBlock)

    def __init__(self, transformer: Any, text_encoder: Any) -> None:
        super().__init__(transformer, text_encoder)
        attention.simplify(transformer)

    @property
    def width(self) -> int:
        """See `DitDenoiser`."""
        return int(self.transformer.inner_dim)

    @property
    def text_width(self) -> int:
        """See `DitDenoiser`."""
        return len(READ_LAYERS) * int(self.text_encoder.config.hidden_size)

    def read_states(self, tokens: Tensor, mask: Tensor) -> TextEmbeddings:
        """See `DitDenoiser`; padding is read as well."""
        how = {"output_hidden_states": True, "use_cache": False}
        states = self.text_encoder.model(input_ids=tokens, attention_mask=mask, **how).hidden_states
        return TextEmbeddings(torch.cat([states[layer] for layer in READ_LAYERS], dim=-1))

    def velocity(self, noisy: Tensor, sigma: Tensor, reading: TextEmbeddings) -> Tensor:
        """See `DitDenoiser`; references stand behind the picture, as further frames."""
        frames = (noisy, *reading.references)
        places = [
            _positions(FRAME_STEP * k, *frame.shape[2:], 1, device=noisy.device) for k, frame in enumerate(frames)
        ]
        predicted: Tensor = self.transformer(
            hidden_states=torch.cat([frame.flatten(2).transpose(1, 2) for frame in frames], dim=1),
            encoder_hidden_states=reading.tokens,
            timestep=sigma,
            img_ids=torch.cat(places),
            txt_ids=_positions(0, 1, 1, reading.tokens.shape[1], device=noisy.device),
            return_dict=False,
        )[0]
        of_picture = predicted[:, : noisy.shape[2] * noisy.shape[3]]
        return of_picture.transpose(1, 2).reshape(noisy.shape)

    def adapter_targets(self, text: bool) -> list[tuple[nn.Module, list[str]]]:
        """The projections of attention, in single blocks together with those of the network beside it."""
        singles = range(len(self.transformer.single_transformer_blocks))
        fused = ["to_qkv_mlp_proj", *(f"single_transformer_blocks.{k}.attn.to_out" for k in singles)]
        return [(self.transformer, ["to_q", "to_k", "to_v", "to_out.0", *fused])]


@cache  # to make it anew at each step would have the step wait for the device
def _positions(frame: int, height: int, width: int, tokens: int, device: torch.device) -> Tensor:
    """Places in four dimensions, n × 4: of one frame of latents, row by row, or of the tokens of a prompt."""
    axes = (torch.arange(size, device=device) for size in (height, width, tokens))
    return torch.cartesian_prod(torch.arange(frame, frame + 1, device=device), *axes)
