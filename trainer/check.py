"""Whether this machine can work: the base model's files, torch, the GPU."""

from typing import Any

from storage.errors import SetupError
from storage.settings import Settings


def report(settings: Settings) -> dict[str, Any]:
    """Return {"ok": whether a worker could run, "lines": what was found, a sentence each}."""
    import torch

    from trainer.files import base_folder

    ok, lines = True, []
    try:
        lines.append(f"Base model {settings.base_model} is in {base_folder(settings.base_model)}.")
    except SetupError as error:
        ok, lines = False, [str(error)]
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    lines.append(f"PyTorch {torch.__version__} sees {', '.join(gpus) if gpus else 'no GPU, so it works on the CPU'}.")
    return {"ok": ok, "lines": lines}
