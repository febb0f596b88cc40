"""Previews of what somebody looks at, and of nothing else; they cost a drawing neither its bits nor its life."""

from pathlib import Path
from typing import Any

from PIL import Image

from tests.trainer.worker.test_engine_client import picture, run
from trainer.diffusion.preview import LatentPreview
from trainer.engine import previews
from trainer.engine.engine import Engine
from trainer.models.base import BaseModel
from trainer.protocol import EngineLoad, ImagineTask, ProgressReport, TaskResult, Watch


def drawn(base: BaseModel, task: ImagineTask, watched: bool, engine: Engine | None = None) -> list[Any]:
    """What an engine says of a task, and the bytes of its pictures."""
    said: list[Any] = []
    engine = engine or Engine(base, said.append)
    engine._say = said.append
    if watched:
        engine.inbox.put(Watch(job=task.job, on=True))
    run(engine, task)
    return said


def shown(said: list[Any]) -> list[str]:
    return [news.preview for news in said if isinstance(news, ProgressReport) and news.preview]


def test_who_looks_sees_previews_and_the_pictures_are_the_same(base: BaseModel, tmp_path: Path) -> None:
    files = {}
    for watched in (False, True):
        folder = tmp_path / str(watched)
        folder.mkdir()
        said = drawn(base, picture(folder, steps=40, seeds=(1, 2, 3)), watched)
        assert isinstance(said[-1], TaskResult | EngineLoad)
        assert bool(shown(said)) == watched
        files[watched] = {path.name: path.read_bytes() for path in folder.glob("*.png")}
        for path in shown(said):
            with Image.open(path) as preview:
                assert preview.format == "JPEG" and max(preview.size) <= 256
    assert files[True] == files[False] and len(files[True]) == 4


def test_nobody_is_shown_what_nobody_looks_at_any_more(base: BaseModel, tmp_path: Path) -> None:
    engine = Engine(base, lambda _: None)
    engine.inbox.put(Watch(job="one", on=True))
    engine.inbox.put(Watch(job="one", on=False))
    assert not shown(drawn(base, picture(tmp_path, steps=40), False, engine))
    engine.inbox.put(Watch(job="two", on=True))
    drawn(base, picture(tmp_path, "two", steps=2), False, engine)
    assert not engine.watched  # what has ended needs none


def test_a_preview_that_fails_costs_the_preview_alone(base: BaseModel, tmp_path: Path) -> None:
    class Broken(LatentPreview):
        def pictures(self, latents: Any) -> Any:
            raise RuntimeError("broken")

    engine = Engine(base, lambda _: None)
    whole = engine.preview(base)
    engine._previews[base] = Broken(whole.weight, whole.bias, whole.patch)
    said = drawn(base, picture(tmp_path, steps=10), True, engine)
    assert not shown(said)
    assert [news.state for news in said if isinstance(news, TaskResult)] == ["done"]


def test_previews_take_a_bounded_share_of_the_time(base: BaseModel, tmp_path: Path) -> None:
    """By a clock that stands still but for previews, each of which takes a second, and steps of a tenth."""
    engine, now_s = Engine(base, lambda _: None), [0.0]

    class Slow(LatentPreview):
        def pictures(self, latents: Any) -> Any:
            now_s[0] += 1.0
            return super().pictures(latents)

    whole = engine.preview(base)
    engine._previews[base] = Slow(whole.weight, whole.bias, whole.patch)
    made = previews.PreviewWriter(engine, tmp_path, lambda: now_s[0])

    class Drawing:
        denoising = type("Denoising", (), {"clean": None, "keeps_clean": False})()
        side_px = 64

    Drawing.base = base  # type: ignore[attr-defined]
    spent_s = 0.0
    for _ in range(4000):
        if Drawing.denoising.keeps_clean:
            import torch

            Drawing.denoising.clean = torch.zeros((1, *base.latent_shape()))
        before_s = now_s[0]
        made.next(Drawing())  # type: ignore[arg-type]
        spent_s += now_s[0] - before_s
        now_s[0] += 0.1
    assert 0 < spent_s / now_s[0] <= 0.02
