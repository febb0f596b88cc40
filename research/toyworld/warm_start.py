"""Begin a network from a trained one for pictures half as large: what has its like there is taken over."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

Weights = dict[str, Tensor]


@torch.no_grad()
def start_vae(vae: AutoencoderKL, start: AutoencoderKL) -> None:
    """Begin `vae`, which has one level more, from `start`: its inner levels, and its latent as the first channels.

    Raises ValueError if `start` has another number of levels.
    """
    if len(start.config.block_out_channels) + 1 != len(vae.config.block_out_channels):
        raise ValueError("An autoencoder begins from one for pictures half as large, and this is none.")
    given, own = start.state_dict(), vae.state_dict()
    for level in reversed(range(len(start.config.block_out_channels))):  # an encoder's levels begin at the finest
        for name in [name for name in given if name.startswith(f"encoder.down_blocks.{level}.")]:
            given[name.replace(f".{level}.", f".{level + 1}.", 1)] = given.pop(name)
    few, many = start.config.latent_channels, vae.config.latent_channels
    latent = torch.tensor([*range(few), *range(many, many + few)])  # the means, then the logarithms of the variances
    for name in ("encoder.conv_out", "quant_conv"):
        own[f"{name}.bias"][latent] = given.pop(f"{name}.bias")
    own["encoder.conv_out.weight"][latent] = given.pop("encoder.conv_out.weight")
    own["quant_conv.weight"][latent] = 0
    own["quant_conv.weight"][latent[:, None], latent] = given.pop("quant_conv.weight")
    _take_over(own, given)


@torch.no_grad()
def start_unet(unet: UNet2DConditionModel, start: Path) -> None:
    """Begin `unet` from the denoiser in the folder `start`, which may have fewer latent channels.

    What the further channels hold changes nothing at first, and zero is predicted for them.
    """
    own = unet.state_dict()
    for name in ("conv_in.weight", "conv_out.weight", "conv_out.bias"):
        own[name].zero_()
    _take_over(own, UNet2DConditionModel.from_pretrained(start).state_dict())


def _take_over(own: Weights, given: Weights) -> None:
    """Copy what is given over the first rows and columns of the weights of the same name."""
    for name, weight in given.items():
        if name in own and own[name].dim() == weight.dim():
            corner = tuple(slice(min(sides)) for sides in zip(own[name].shape, weight.shape, strict=True))
            own[name][corner] = weight[corner]
