"""Pictures to learn Toyworld from: drawn once into a folder, and crops of photographs for the autoencoder."""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from research.toyworld.scenes import SIZE_PX, character, draw_scene
from trainer.threads import processors
from trainer.toyworld.words import Scene, random_scene

Pictures = NDArray[np.uint8]  # n × height × width × 3


def _draw_one(seed: int, size_px: int, index: int) -> tuple[bytes, Scene]:
    rng = Random(f"{seed}:{index}")
    scene = random_scene(rng)
    return draw_scene(scene, rng, size_px).tobytes(), scene


def drawings(folder: Path, count: int, seed: int = 0, size_px: int = SIZE_PX) -> tuple[Pictures, list[Scene]]:
    """Return `count` drawn scenes, drawn once and kept in `folder`."""
    name = f"{size_px}px-{seed}-{count}"
    pixels, scenes = folder / f"drawings-{name}.npy", folder / f"scenes-{name}.json"
    if not scenes.exists():
        folder.mkdir(parents=True, exist_ok=True)
        out = np.lib.format.open_memmap(pixels, mode="w+", dtype=np.uint8, shape=(count, size_px, size_px, 3))
        labels: list[dict[str, str | None]] = []
        with ProcessPoolExecutor(processors()) as pool:
            for i, (raw, scene) in enumerate(pool.map(partial(_draw_one, seed, size_px), range(count), chunksize=200)):
                out[i] = np.frombuffer(raw, np.uint8).reshape(size_px, size_px, 3)
                labels.append(vars(scene))
        out.flush()
        scenes.write_text(json.dumps(labels))
    return np.load(pixels, mmap_mode="r"), [Scene(**s) for s in json.loads(scenes.read_text())]


def character_photos(seed: int, count: int, noun: str | None = None, size_px: int = SIZE_PX) -> Pictures:
    """Return `count` drawn photos of the character of this seed, each in another place."""
    who, rng = character(seed, noun), Random(f"photos {seed}")
    return np.stack([np.asarray(who.photo(rng, size_px=size_px)) for _ in range(count)])


def photographs(folder: Path, count: int, held_out: tuple[str, ...] = (), size_px: int = SIZE_PX) -> Pictures:
    """Return `count` random square crops of the photographs under `folder`, but for the sub-folders `held_out`."""
    rng, crops = Random(0), []
    paths = [p for p in sorted(folder.rglob("*.jpg")) if p.parent.name not in held_out]
    for k in range(count):
        if k % (count // len(paths) + 1) == 0:
            picture = ImageOps.exif_transpose(Image.open(paths[k // (count // len(paths) + 1)])).convert("RGB")
        crops.append(np.asarray(_random_crop(picture, rng, size_px)))
    return np.stack(crops)


def _random_crop(picture: Image.Image, rng: Random, size_px: int) -> Image.Image:
    side = rng.uniform(0.35, 1.0) * min(picture.size)
    left, top = rng.uniform(0, picture.width - side), rng.uniform(0, picture.height - side)
    crop = picture.resize((size_px, size_px), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
    return ImageOps.mirror(crop) if rng.random() < 0.5 else crop
