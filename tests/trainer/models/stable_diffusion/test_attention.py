"""Attention without what diffusers' can do besides: the same bits, and only where there is nothing besides."""

import copy

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor

from trainer.models.stable_diffusion.attention import PlainAttention, simplify

STATES, PROMPT = torch.randn(2, 9, 16), torch.randn(2, 7, 24)


def small_unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    sizes = {"block_out_channels": (8,), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 2}
    return UNet2DConditionModel(**blocks, **sizes, cross_attention_dim=24)


def test_a_unet_draws_and_learns_the_same_bits() -> None:
    whole = small_unet()
    plain = copy.deepcopy(whole)
    simplify(plain)
    assert any(isinstance(module, PlainAttention) for module in plain.modules())
    latents = torch.randn(2, 4, 8, 8)
    for unet in (whole, plain):
        unet(latents, torch.tensor([3, 700]), PROMPT).sample.square().mean().backward()
    for one, other in zip(whole.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    assert whole.state_dict().keys() == plain.state_dict().keys()


def test_a_mask_still_masks() -> None:
    whole = Attention(16, cross_attention_dim=24, heads=2, dim_head=8).eval()
    plain = copy.deepcopy(whole)
    simplify(plain)
    assert type(plain) is PlainAttention
    mask = torch.zeros(2, 1, 7).masked_fill(torch.arange(7) > 3, -10_000.0)
    assert torch.equal(plain(STATES, PROMPT, attention_mask=mask), whole(STATES, PROMPT, attention_mask=mask))
    assert not torch.equal(plain(STATES, PROMPT, attention_mask=mask), plain(STATES, PROMPT))


def test_attention_that_does_more_is_left_alone() -> None:
    given = {"query_dim": 16, "heads": 2, "dim_head": 8}
    more = (
        Attention(**given, norm_num_groups=4),
        Attention(**given, qk_norm="layer_norm"),
        Attention(**given, residual_connection=True),
        Attention(**given, rescale_output_factor=2.0),
        Attention(**given, dropout=0.1),
        Attention(**given, processor=AttnProcessor()),
    )
    for attention in more:
        simplify(attention)
        assert type(attention) is Attention
