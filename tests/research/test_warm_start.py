"""Networks for larger pictures that begin from the trained ones of half the size."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from research.toyworld.shapes import TOYWORLD, TOYWORLD_128, build_unet, build_vae
from research.toyworld.warm_start import start_unet, start_vae
from trainer.models.local_files import TOYWORLD_FOLDER


def test_a_denoiser_of_more_channels_predicts_what_it_was_begun_from() -> None:
    old, new = UNet2DConditionModel.from_pretrained(TOYWORLD_FOLDER / "unet"), build_unet(TOYWORLD_128)
    start_unet(new, TOYWORLD_FOLDER / "unet")
    chance = torch.Generator().manual_seed(0)
    noisy = torch.randn(2, TOYWORLD_128.latent_channels, 16, 16, generator=chance)
    t, text = torch.tensor([3, 700]), torch.randn(2, 5, TOYWORLD_128.text_width, generator=chance)
    with torch.no_grad():
        ours, theirs = new(noisy, t, text).sample, old(noisy[:, :4], t, text).sample
    torch.testing.assert_close(ours[:, :4], theirs)
    assert not ours[:, 4:].any()


def test_an_autoencoder_takes_over_the_inner_levels_and_its_channels() -> None:
    torch.manual_seed(0)
    old, new = build_vae(TOYWORLD), build_vae(TOYWORLD_128)
    start_vae(new, old)
    before, after = old.state_dict(), new.state_dict()
    for level in (1, 2):  # the finest also has other channels beside it
        for name in [name for name in before if name.startswith(f"encoder.down_blocks.{level}.")]:
            torch.testing.assert_close(after[name.replace(f".{level}.", f".{level + 1}.", 1)], before[name])
    for name in [name for name in before if "mid_block" in name or "decoder.up_blocks" in name]:
        torch.testing.assert_close(after[name], before[name])
    few, many = TOYWORLD.latent_channels, TOYWORLD_128.latent_channels
    coarse = torch.randn(2, 2 * few, 4, 4)
    moments = torch.randn(2, 2 * many, 4, 4)
    moments[:, :few], moments[:, many : many + few] = coarse[:, :few], coarse[:, few:]
    with torch.no_grad():
        ours, theirs = new.quant_conv(moments), old.quant_conv(coarse)
    torch.testing.assert_close(ours[:, :few], theirs[:, :few])
    torch.testing.assert_close(ours[:, many : many + few], theirs[:, few:])


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_the_shapes_are_those_of_what_ships(part: str, tmp_path: Path) -> None:
    kind, build = {"unet": (UNet2DConditionModel, build_unet), "vae": (AutoencoderKL, build_vae)}[part]
    shipped = kind.load_config(TOYWORLD_FOLDER / part)
    ours = dict(build(TOYWORLD).config)
    assert {k: v for k, v in shipped.items() if not k.startswith("_")}.items() >= {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in ours.items()
        if not k.startswith("_") and k != "scaling_factor"
    }.items()
