"""DreamBooth by a loop as plain as can be, beside ours: what makes our steps cheap is to cost no quality.

    python -m research.toyworld.baseline [--characters 0 1] [--seeds 3]

Both with the recipe that ships, 400 steps and what is there after the last; the plain loop encodes photos and reads
prompts at every step, and takes its chance in another order. One line of JSON for each training.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn.functional import mse_loss

from research.toyworld.single_subject import CHARACTERS, CharacterFixture
from storage.contract.recipe import Recipe
from trainer.diffusion.images import to_tensor
from trainer.dreambooth import class_images
from trainer.dreambooth.augment import views_of
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import prompt_pairs
from trainer.dreambooth.train import learn
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.denoiser import Denoiser
from trainer.models.rare_tokens import choose
from trainer.steps import run_to_end
from trainer.toyworld.judge import load_judge

STEPS = 400


def learn_plainly(base: BaseModel, subject: SubjectSpec, class_latents: Tensor, recipe: Recipe, seed: int) -> Denoiser:
    """Learn as diffusers' example does, with the three learning rates of the recipe."""
    chance = Generator().manual_seed(seed)
    denoiser = base.denoiser.copy().requires_grad_(True).train()
    (text_encoder,) = denoiser.text_encoders
    words = text_encoder.get_input_embeddings().weight
    layers = [weight for weight in text_encoder.parameters() if weight is not words]
    groups = [
        {"params": list(denoiser.backbone.parameters()), "lr": recipe.learning_rate},
        {"params": layers, "lr": recipe.text_learning_rate},
        {"params": [words], "lr": recipe.word_learning_rate, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    pixels = to_tensor(views_of(subject.photos, base, recipe, chance).images)
    wordings = [base.token_ids(list(pair))[0] for pair in prompt_pairs(subject.identifier, subject.noun, 2)]
    count, vae = recipe.batch, base.parts["vae"]
    for _ in range(recipe.steps):
        which, others = (torch.randint(len(of), (count,), generator=chance) for of in (pixels, class_latents))
        with torch.no_grad():
            own = vae.encode(pixels[which]).latent_dist.sample(chance) * vae.config.scaling_factor
        clean = torch.cat([own, class_latents[others]])
        noise = torch.randn(clean.shape, generator=chance)
        t = torch.randint(base.scheduler.config.num_train_timesteps, (len(clean),), generator=chance)
        ids = wordings[int(torch.randint(2, (1,), generator=chance))].repeat_interleave(count, dim=0)
        read = text_encoder(ids).last_hidden_state
        predicted = denoiser.backbone(base.scheduler.add_noise(clean, noise, t), t, read).sample
        wanted = base.scheduler.get_velocity(clean, noise, t)
        loss = mse_loss(predicted[:count], wanted[:count])
        loss = loss + recipe.prior_weight * mse_loss(predicted[count:], wanted[count:])
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), recipe.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
    return denoiser.eval().requires_grad_(False)


def compare(base: BaseModel, sitting: CharacterFixture, recipe: Recipe, seeds: int, folder: Path) -> None:
    """Learn a character by both loops in turns, and print what became of it."""
    paths = [folder / f"{k}.png" for k in range(len(sitting.photos))]
    for image, path in zip(sitting.photos, paths, strict=True):
        image.save(path)
    subject = SubjectSpec(paths, sitting.noun, choose(base.rare_words, sitting.noun))
    run_to_end(class_images.draw_class_set(base, sitting.noun, recipe, folder / "class"))
    latents = class_images.read_class_set(folder / "class")
    for seed in range(seeds):
        for loop in ("plain", "ours"):
            began_s = time.perf_counter()
            if loop == "plain":
                learned = learn_plainly(base, subject, latents, recipe, seed)
            else:
                learned = learn(base, [(subject, latents)], recipe, seed, lambda _: None).denoiser
            taken = {"loop": loop, "character": sitting.name, "seconds": round(time.perf_counter() - began_s, 1)}
            print(json.dumps(taken | sitting.figures(learned, subject.identifier)), flush=True)  # noqa: T201


def main() -> None:
    """Learn the characters that are asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m research.toyworld.baseline", description="Ours beside a plain loop."
    )
    parser.add_argument("--characters", type=int, nargs="*", default=[0, 1], help="which of the eight")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    base, judge = load_base("toyworld"), load_judge()
    for noun, seed in [CHARACTERS[which] for which in given.characters]:
        with tempfile.TemporaryDirectory() as folder:
            sitting = CharacterFixture(base, judge, noun, seed)
            compare(base, sitting, recipe_for(base.folder, steps=STEPS), given.seeds, Path(folder))


if __name__ == "__main__":
    main()
