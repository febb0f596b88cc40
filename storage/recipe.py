"""The recipe: every number of a training, with its meaning and its limits."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from storage.jobs import STEPS_MAX, Method
from storage.sizes import Aspect

Changes = dict[str, str | int | float | bool]  # of a recipe, by the names of its fields


def _was_yes_or_no(compiled: Any) -> Any:
    """What `compiled` is called since there are graphs, too: recipes that are kept may have it as true or false."""
    return {"true": "blocks", "false": "off"}.get(str(compiled).lower(), compiled)


class Recipe(BaseModel):
    """Hyperparameters of DreamBooth. The defaults are the usual ones for Stable Diffusion 1.x at 512 px.

    What suits a base model lies beside it; a preset and what a person asks for come on top.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Field("full", description="what learns: the networks themselves, or LoRA beside them")
    rank: int = Field(16, ge=1, le=256, description="rank of LoRA's matrices")
    alpha: int = Field(0, ge=0, le=512, description="LoRA counts for alpha ÷ rank; 0: alpha is the rank")
    steps: int = Field(800, ge=1, le=STEPS_MAX, description="optimizer steps")
    batch: int = Field(1, ge=1, le=16, description="instance examples a step; as many class examples join them")
    accumulation: int = Field(1, ge=1, le=64, description="forward passes whose gradients make one step")
    learning_rate: float = Field(2e-6, gt=0, le=1e-2, description="of the UNet, after warm-up")
    text_learning_rate: float = Field(2e-6, ge=0, le=1e-2, description="of the text encoder; 0 freezes it")
    word_learning_rate: float = Field(0, ge=0, le=1e-1, description="of its token embeddings; 0: as the text encoder's")
    optimizer: Literal["adamw", "adamw8bit"] = Field("adamw", description="the latter with bitsandbytes, on a GPU")
    schedule: Literal["constant", "cosine", "linear"] = Field("constant", description="learning rate after warm-up")
    warmup_steps: int = Field(20, ge=0, le=1000, description="steps in which the learning rate rises from 0")
    weight_decay: float = Field(1e-2, ge=0, le=1, description="AdamW's decay")
    gradient_clip: float = Field(1.0, gt=0, le=100, description="largest norm of a step's gradient")
    prior_weight: float = Field(1.0, ge=0, le=10, description="weight of the prior-preservation loss; 0: none")
    wordings: int = Field(1, ge=1, le=2, description="1: the paper's prompts; 2: also without their `a photo of`")
    snr_gamma: float = Field(0, ge=0, le=20, description="Min-SNR weighting of the loss, usually 5; 0: none")
    noise_offset: float = Field(0, ge=0, le=0.5, description="noise that a whole channel shares, usually 0.1; 0: none")
    text_steps: int = Field(0, ge=0, le=4000, description="steps after which text encoders learn no more; 0: all")
    ema_decay: float = Field(0, ge=0, lt=1, description="what is kept is a moving average of the weights; 0: the last")
    captions: bool = Field(False, description="a photo's prompt says what its caption says is in it besides")
    mask_weight: float = Field(
        1, ge=0, le=1, description="weight of what is transparent in photos; 1: that of the subject, 0: not learned"
    )
    aspect_buckets: bool = Field(False, description="photos are learned whole, each in a size of about its aspect")
    flips: bool = Field(False, description="learn from mirrored photos, too; not of what has writing on it")
    class_images: int = Field(100, ge=1, le=1000, description="pictures of the class that the base model draws itself")
    class_steps: int = Field(25, ge=1, le=100, description="denoising steps of a class image")
    class_guidance: float = Field(5.0, ge=1, le=20, description="guidance scale of a class image")
    aspect: Aspect = Field("1:1", description="shape of class images and of sample pictures, like 3:2")
    crops: int = Field(1, ge=1, le=32, description="crops of each photo; the first is the whole square")
    sample_steps: int = Field(25, ge=1, le=100, description="denoising steps of a sample picture while training")
    sample_guidance: float = Field(5.0, ge=1, le=20, description="guidance scale of a sample picture")
    looking_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="share of a training's time at most that candidates, samples and the report card take: short "
        "trainings are looked at less often; 1: no limit",
    )
    report_card: bool = Field(True, description="measure what was learned at the end, where there is a judge")
    validate_every: int = Field(50, ge=0, le=1000, description="steps between two losses on what is held back; 0: none")
    candidates: int = Field(
        6,
        ge=1,
        le=12,
        description="points of the training of which the best is kept, where there is a judge; 1: the end",
    )
    patience: int = Field(
        2, ge=0, le=12, description="candidates in a row that are no better, after which it ends early; 0: never"
    )
    choose: bool = Field(
        False, description="keep all candidates, for people to choose the one that becomes the subject"
    )
    gradient_checkpointing: bool = Field(False, description="less memory for a fifth more time")
    compiled: Annotated[Literal["off", "blocks", "graphs"], BeforeValidator(_was_yes_or_no)] = Field(
        "off",
        description="blocks: the UNet's are compiled, minutes once in a worker's life, then faster steps on a GPU; "
        "graphs: the GPU also starts a step's kernels by itself, and takes more memory",
    )
    precision: Literal["auto", "no", "bf16", "fp16"] = Field(
        "auto", description="mixed precision of the forward pass; auto: that which the base model is kept in"
    )
