"""The networks of a Z-Image: a transformer on latents and words in one sequence, and a language model that reads."""

from typing import Any

import torch
from diffusers.models.transformers.transformer_z_image import ZImageTransformerBlock
from torch import Tensor

from trainer.models.denoiser import TextEmbeddings
from trainer.models.dit.denoiser import DitDenoiser
from trainer.models.z_image import attention

READ_LAYER = -2  # of the language model: the last but one


class ZImageDenoiser(DitDenoiser):
    """See `DitDenoiser`."""

    block_kinds = (ZImageTransformerBlock,)
    patch = 2
    targets = ("to_q", "to_k", "to_v", "to_out.0")
    rowless = ("transformer.cap_embedder.",)  # the captions of all rows, one after another

    def __init__(self, transformer: Any, text_encoder: Any) -> None:
        super().__init__(transformer, text_encoder)
        attention.simplify(transformer)

    @property
    def width(self) -> int:
        """See `DitDenoiser`."""
        return int(self.transformer.dim)

    @property
    def text_width(self) -> int:
        """See `DitDenoiser`."""
        return int(self.text_encoder.config.hidden_size)

    def read_states(self, tokens: Tensor, mask: Tensor) -> TextEmbeddings:
        """See `DitDenoiser`."""
        how = {"output_hidden_states": True, "use_cache": False}
        states = self.text_encoder(input_ids=tokens, attention_mask=mask.bool(), **how).hidden_states
        return TextEmbeddings(states[READ_LAYER], mask=mask.bool())

    def velocity(self, noisy: Tensor, sigma: Tensor, reading: TextEmbeddings) -> Tensor:
        """See `DitDenoiser`. The transformer's time is 1 where there is no noise, and it predicts picture − noise."""
        predicted = self.transformer(
            [*noisy.unsqueeze(2)],  # c × frames × h × w each
            1 - sigma,
            self._words(reading),
            return_dict=False,
        )[0]
        return -torch.stack(predicted).squeeze(2)

    @staticmethod
    def _words(reading: TextEmbeddings) -> list[Tensor]:
        """The words of each prompt without padding, tokens × width each."""
        assert reading.mask is not None
        if reading.tokens.is_meta:  # as many as there can be
            return [*reading.tokens]
        # A picture's place in the sequence follows from the number of words, so the CPU has to know that: one wait.
        return [words[each] for words, each in zip(reading.tokens, reading.mask, strict=True)]
