"""The networks that draw: a UNet, and the text encoders by whose reading of a prompt it is guided.

Stable Diffusion 1.x and 2.x have one text encoder. SDXL (Podell et al. 2023, arXiv 2307.01952) has two, whose readings
stand side by side, and tells the UNet the picture's size and the whole prompt's meaning besides.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from trainer.models import attention

LATENT_PX = 8  # pixels of one of SDXL's latents, each way


@dataclass(frozen=True)
class TextEmbeddings:
    """What the text encoders make of n prompts."""

    tokens: Tensor  # n × tokens × width
    pooled: Tensor | None = None  # n × width; of SDXL alone

    def spread(self, rows: int) -> "TextEmbeddings":
        """Each prompt's reading for as many neighbouring rows as it takes to have `rows` of them."""
        times = rows // len(self.tokens)
        pooled = None if self.pooled is None else self.pooled.repeat_interleave(times, dim=0)
        return TextEmbeddings(self.tokens.repeat_interleave(times, dim=0), pooled)

    def of(self, rows: Tensor) -> "TextEmbeddings":
        """The readings of these prompts, in this order."""
        return TextEmbeddings(self.tokens[rows], None if self.pooled is None else self.pooled[rows])

    def with_zeros_first(self) -> "TextEmbeddings":
        """The same with zeros for what was made of the first prompt."""
        pooled = None if self.pooled is None else torch.cat([torch.zeros_like(self.pooled[:1]), self.pooled[1:]])
        return TextEmbeddings(torch.cat([torch.zeros_like(self.tokens[:1]), self.tokens[1:]]), pooled)

    def with_first_for_each(self) -> "TextEmbeddings":
        """The first prompt's reading once for each of the others, before these."""
        times = len(self.tokens) - 1
        tokens, pooled = (
            part if part is None or times == 1 else torch.cat([part[:1].expand(times, *part.shape[1:]), part[1:]])
            for part in (self.tokens, self.pooled)
        )
        assert tokens is not None
        return TextEmbeddings(tokens, pooled)


Text = TextEmbeddings | Sequence[Tensor]  # prompts read, or still to be read: their token ids by each tokenizer


def rows_of(text: Text, rows: Tensor) -> Text:
    """These of the prompts, in this order."""
    return text.of(rows) if isinstance(text, TextEmbeddings) else [ids[rows] for ids in text]


class Denoiser(nn.Module):
    """All that DreamBooth trains. Weights are named `unet.…`, `text_encoder.…` and `text_encoder_2.…`."""

    def __init__(self, unet: Any, text_encoder: Any, text_encoder_2: Any = None) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.text_encoder_2 = unet, text_encoder, text_encoder_2
        attention.simplify(unet)

    @property
    def text_encoders(self) -> list[Any]:
        """One, or SDXL's two."""
        return [self.text_encoder] if self.text_encoder_2 is None else [self.text_encoder, self.text_encoder_2]

    def read(self, ids: Sequence[Tensor]) -> TextEmbeddings:
        """Read prompts: their token ids, n × tokens, by each text encoder's own tokenizer."""
        if self.text_encoder_2 is None:
            return TextEmbeddings(self.text_encoder(ids[0]).last_hidden_state)
        one, two = (encoder(of, output_hidden_states=True) for encoder, of in zip(self.text_encoders, ids, strict=True))
        return TextEmbeddings(torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1), two.text_embeds)

    def forward(self, noisy: Tensor, t: Tensor, text: Text) -> Tensor:
        """Predict noise or velocity in latents, b × 4 × h × w, at timesteps `t`; prompts read, or still to be read.

        Each prompt guides as many neighbouring rows as come to it. What is predicted has the latents' precision,
        whatever the weights have.
        """
        reading = (text if isinstance(text, TextEmbeddings) else self.read(text)).spread(len(noisy))
        added = None
        if reading.pooled is not None:
            height_px, width_px = (LATENT_PX * side for side in noisy.shape[2:])
            sizes = _sizes(height_px, width_px, noisy.device).expand(len(noisy), 6)
            added = {"text_embeds": reading.pooled, "time_ids": sizes}
        latents = noisy.to(self.unet.conv_in.weight.dtype)
        predicted: Tensor = self.unet(latents, t, reading.tokens, added_cond_kwargs=added).sample
        return predicted.to(noisy.dtype)

    def copy(self) -> "Denoiser":
        """A copy that can be changed without changing this one."""
        return copy.deepcopy(self)

    def sharing(self) -> "Denoiser":
        """The same weights in modules of their own, so that adapters can be put into them."""
        memo: dict[int, Any] = {id(tensor): tensor for tensor in (*self.parameters(), *self.buffers())}
        return copy.deepcopy(self, memo)


@cache  # to make it anew at each step would have the step wait for the device
def _sizes(height_px: int, width_px: int, device: torch.device) -> Tensor:
    """What SDXL is told of a picture: its size as a photo, where it was cropped, its size. A whole one here."""
    return torch.tensor([height_px, width_px, 0, 0, height_px, width_px], dtype=torch.float32, device=device)
