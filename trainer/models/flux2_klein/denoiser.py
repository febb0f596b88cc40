"""The networks of a FLUX.2 [klein]: a transformer on packed latents, and the language model by which it reads."""

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux2 import Flux2SingleTransformerBlock, Flux2TransformerBlock
from torch import Tensor, nn

from trainer.models.denoiser import Denoiser, Text, TextEmbeddings

READ_LAYERS = (9, 18, 27)  # of the language model, whose states stand side by side
PROMPT_TOKENS = 512
TIMES = 1000  # of the schedule, from nothing but noise down to none
ACTIVATIONS = 24  # of a token's width that are held at once in a pass, about


class Flux2KleinDenoiser(Denoiser):
    """Weights are named `transformer.…` and `text_encoder.…`; the text encoder is frozen, and copies share it."""

    backbone_part = "transformer"
    block_kinds = (Flux2TransformerBlock, Flux2SingleTransformerBlock)

    def __init__(self, transformer: Any, text_encoder: Any) -> None:
        super().__init__()
        self.transformer, self.text_encoder = transformer, text_encoder

    @property
    def backbone(self) -> Any:
        """The transformer."""
        return self.transformer

    @property
    def text_encoders(self) -> list[Any]:
        """None that learns."""
        return []

    @torch.no_grad()
    def read(self, ids: Sequence[Tensor]) -> TextEmbeddings:
        """Read prompts by their tokens and which of these are words, n × 512 each."""
        tokens, mask = ids
        if tokens.is_meta:  # a language model cannot be rehearsed: its masks ask for content
            width = len(READ_LAYERS) * self.text_encoder.config.hidden_size
            return TextEmbeddings(torch.empty(*tokens.shape, width, device="meta"))
        how = {"output_hidden_states": True, "use_cache": False}
        states = self.text_encoder.model(input_ids=tokens, attention_mask=mask, **how).hidden_states
        return TextEmbeddings(torch.cat([states[layer] for layer in READ_LAYERS], dim=-1))

    def forward(self, noisy: Tensor, t: Tensor, text: Text) -> Tensor:
        """Predict the velocity, noise − picture, in latents, b × 128 × h × w."""
        reading = (text if isinstance(text, TextEmbeddings) else self.read(text)).spread(len(noisy))
        dtype = self.transformer.x_embedder.weight.dtype
        predicted: Tensor = self.transformer(
            hidden_states=noisy.flatten(2).transpose(1, 2).to(dtype),
            encoder_hidden_states=reading.tokens.to(dtype),
            timestep=t.to(noisy.dtype).expand(len(noisy)) / TIMES,
            img_ids=_positions(noisy.shape[2], noisy.shape[3], 1, noisy.device),
            txt_ids=_positions(1, 1, reading.tokens.shape[1], noisy.device),
            return_dict=False,
        )[0]
        return predicted.transpose(1, 2).reshape(noisy.shape).to(noisy.dtype)

    def empty_ids(self, prompts: int, device: torch.device | str) -> list[Tensor]:
        """See `Denoiser`."""
        return [torch.empty(prompts, PROMPT_TOKENS, dtype=torch.long, device=device) for _ in range(2)]

    def row_bytes(self, latents: int) -> int:
        """The states of a row's tokens, those of the prompt among them."""
        weight = self.transformer.x_embedder.weight
        return int(ACTIVATIONS * len(weight) * (latents + PROMPT_TOKENS) * weight.element_size())

    def adapter_targets(self, text: bool) -> list[tuple[nn.Module, list[str]]]:
        """The projections of attention, in single blocks together with those of the network beside it."""
        singles = range(len(self.transformer.single_transformer_blocks))
        fused = ["to_qkv_mlp_proj", *(f"single_transformer_blocks.{k}.attn.to_out" for k in singles)]
        return [(self.transformer, ["to_q", "to_k", "to_v", "to_out.0", *fused])]

    def file_names(self) -> dict[str, str]:
        """Ours alone, since other programs read no such names of this family: see `Flux2KleinFiles.lora_file`."""
        paths = (path for path, _ in self.named_modules() if path.startswith("transformer."))
        return {path: f"lora_{path.replace('.', '_')}" for path in paths}

    def copy(self) -> "Flux2KleinDenoiser":
        """A copy of the transformer; the text encoder, which stays as it is, is shared."""
        return copy.deepcopy(self, {id(self.text_encoder): self.text_encoder})


@cache  # to make it anew at each step would have the step wait for the device
def _positions(height: int, width: int, tokens: int, device: torch.device) -> Tensor:
    """Places in four dimensions, n × 4: of one frame of latents, row by row, or of the tokens of a prompt."""
    axes = (torch.arange(size, device=device) for size in (1, height, width, tokens))
    return torch.cartesian_prod(*axes)
