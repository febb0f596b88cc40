"""Find models in a process of its own: `python -m tests.support.find_models HOME`, questions on standard input.

The hub's library reads its settings when it is imported.
"""

import json
import sys
from pathlib import Path
from typing import Any

from storage.errors import SetupError
from trainer.models.sources import find


def answer(question: dict[str, Any], models: Path) -> dict[str, Any]:
    """Where a model is, or the sentence that says why not."""
    try:
        if "meter" in question:
            return {"sees": _sees(question["meter"], question["model"])}
        source = find(question["model"], models, question.get("half", False), question.get("weights", True))
    except SetupError as error:
        return {"error": str(error)}
    folder = source.folder
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {"folder": str(folder), "revision": source.revision, "there": there, "missing": source.missing_bytes}


def _sees(meter: str, model: str) -> int:
    """How many numbers a metric model makes of a picture."""
    from PIL import Image

    from storage.contract.evaluation import MetricModels
    from trainer.metrics.eval_embedders import open_eval_embedders  # takes seconds

    meters = open_eval_embedders(MetricModels(**{meter: model}))  # type: ignore[arg-type]
    return meters[meter].see([Image.new("RGB", (64, 64))], "a dog").embeddings.shape[1]


if __name__ == "__main__":
    answers = [answer(question, Path(sys.argv[1])) for question in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(answers))
