"""Whether this machine can work: the base model's files, torch, the GPU."""

from typing import Any

from storage.errors import SetupError
from storage.settings import Settings


def report(settings: Settings) -> dict[str, Any]:
    """Return {"ok": whether a worker could run, "lines": what was found, a sentence each}."""
    import torch

    from trainer.models import dtype_for, models_folder
    from trainer.sources import find

    ok, lines = True, []
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    dtype = dtype_for(settings.precision, torch.device("cuda" if gpus else "cpu"))
    try:
        source = find(settings.base_model, models_folder(settings.home), dtype is not torch.float32, weights=False)
        lines.append(f"{source.called} is in {source.folder}.")
    except SetupError as error:
        ok, lines = False, [str(error)]
    lines.append(f"PyTorch {torch.__version__} sees {', '.join(gpus) if gpus else 'no GPU, so it works on the CPU'}.")
    return {"ok": ok, "lines": lines}
