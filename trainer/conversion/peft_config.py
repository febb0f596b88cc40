"""Settings that lie beside LoRA's matrices: peft's `adapter_config.json`, and the same in the metadata of diffusers.

They come with files of strangers: numbers and patterns in them are bounded before they are used.
"""

import json
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import regex

from trainer.models.file_kinds import UnusableFile

METADATA = "lora_adapter_metadata"  # where diffusers keeps the settings of each network
OF_ALL = ("adapter_config", "peft_config")  # where others keep those of all
CONFIG = "adapter_config.json"
RANK_MAX, ALPHA_MAX = 4096, 1e6
PATTERNS_MAX, EXPRESSIONS_MAX, LENGTH_MAX = 5000, 100, 300
MATCHING_S = 5.0  # for all patterns of a file together
REPEATS_MAX = 1000  # of all counted repeats of a pattern together: they are written out when it is compiled
REPEAT = re.compile(r"\{(\d*),?(\d*)\}")
LITERAL = re.compile(r"\^?[\w.]+\$?")
CHANGES = {  # settings that make more of a LoRA than two matrices
    "use_dora": "a DoRA (use_dora)",
    "lora_bias": "a LoRA with biases (lora_bias)",
    "use_qalora": "a QALoRA (use_qalora)",
    "fan_in_fan_out": "a LoRA of transposed layers (fan_in_fan_out)",
    "layer_replication": "a LoRA for a model of replicated layers (layer_replication)",
    "trainable_token_indices": "a LoRA that has learned tokens besides (trainable_token_indices)",
    "modules_to_save": "a LoRA that has learned whole layers besides (modules_to_save)",
    "target_parameters": "a LoRA of bare parameters (target_parameters)",
    "use_bdlora": "a BD-LoRA (use_bdlora)",
    "kasa_config": "a KaSA (kasa_config)",
    "monteclora_config": "a MonteCLoRA (monteclora_config)",
}
STARTS = ("pissa", "olora", "loftq", "corda", "lora_ga")  # these change the base model's own weights at the start
Settings = Mapping[str, Any]


class PeftSettings:
    """Ranks and alphas of peft's settings, by networks: `unet`, `text_encoder`, `text_encoder_2`, or "" for all."""

    def __init__(self, by_network: Mapping[str, Settings]) -> None:
        """Check them; raises UnusableFile."""
        self._by_network, self._deadline_s = by_network, 0.0
        for settings in by_network.values():
            _check(settings)

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str]) -> "PeftSettings":
        """Read what diffusers writes into a file: names begin with that of the network. Raises UnusableFile."""
        by_network: dict[str, dict[str, Any]] = {}
        for name, value in _parsed(metadata.get(METADATA, "{}"), METADATA).items():
            network, _, setting = name.rpartition(".")
            by_network.setdefault(network, {})[setting] = value
        for entry in OF_ALL:
            by_network.setdefault("", {}).update(_parsed(metadata.get(entry, "{}"), entry))
        return cls(by_network)

    @classmethod
    def of_files(cls, files: Mapping[str, Path]) -> "PeftSettings":
        """Read files by the networks that they are about; raises UnusableFile."""
        try:
            return cls({network: _parsed(path.read_text(), path.name) for network, path in files.items()})
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableFile(f"its {CONFIG} cannot be read") from error

    def __bool__(self) -> bool:
        """Whether there are any settings."""
        return any(self._by_network.values())

    def alpha(self, path: str, rank: int) -> float:
        """The alpha of a layer by its path in the denoiser; the rank if there is none. Raises UnusableFile."""
        network, _, module = path.partition(".")
        settings = self._by_network.get(network) or self._by_network.get("") or {}
        alpha = self._exception(settings.get("alpha_pattern") or {}, module)
        alpha = settings.get("lora_alpha") if alpha is None else alpha
        alpha = rank if alpha is None else alpha
        by_root = settings.get("use_rslora")  # alpha counts by the root of the rank then
        return float(alpha * rank**0.5) if by_root else float(alpha)

    def _exception(self, patterns: Mapping[str, float], module: str) -> float | None:
        """The value of the first pattern that fits a module, as peft matches them; None if there is none."""
        # transformers of different versions have text encoders with and without this level.
        module = module.removeprefix("text_model.")
        parts = module.split(".")
        ends = {".".join(parts[i:]) for i in range(len(parts))} | {f"text_model.{module}"}
        for pattern, value in patterns.items():
            whole = pattern.startswith("^")
            bare = pattern.strip("^$")
            if LITERAL.fullmatch(pattern):
                if bare in ({module, f"text_model.{module}"} if whole else ends):
                    return value
            elif self._matches(pattern, module) or self._matches(pattern, f"text_model.{module}"):
                return value
        return None

    def _matches(self, pattern: str, module: str) -> bool:
        # One deadline for all: thousands of patterns that each take a little would add up.
        self._deadline_s = self._deadline_s or time.monotonic() + MATCHING_S
        try:
            left_s = max(self._deadline_s - time.monotonic(), 0.001)
            return bool(regex.match(rf"(.*\.)?({pattern})$", module, timeout=left_s))
        except TimeoutError as error:
            raise UnusableFile("a pattern in its settings takes too long to match") from error


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableFile(f"its {where} is damaged") from error
    if not isinstance(settings, dict):
        raise UnusableFile(f"its {where} holds no settings")
    return settings


def _check(settings: Settings) -> None:
    """Raise UnusableFile for settings that ask for another kind of adapter, or that are out of bounds."""
    if (kind := str(settings.get("peft_type") or "LORA").upper()) != "LORA":
        raise UnusableFile(f"by its settings it is no LoRA but a {kind}")
    for name, called in CHANGES.items():
        if settings.get(name):
            raise UnusableFile(f"by its settings it is {called}, which Darkroom does not read")
    if settings.get("bias", "none") not in ("none", None):
        raise UnusableFile("by its settings it is a LoRA with biases (bias), which Darkroom does not read")
    if (start := str(settings.get("init_lora_weights")).lower()).startswith(STARTS):
        raise UnusableFile(f"it was begun with other weights than the base model's (init_lora_weights: {start})")
    _check_number("r", settings.get("r"), whole=True)
    _check_number("lora_alpha", settings.get("lora_alpha"))
    for name in ("rank_pattern", "alpha_pattern"):
        patterns = settings.get(name) or {}
        if not isinstance(patterns, Mapping):
            raise UnusableFile(f"its {name} holds no patterns")
        _check_patterns(name, patterns)


def _check_patterns(name: str, patterns: Mapping[str, Any]) -> None:
    expressions = [pattern for pattern in patterns if not LITERAL.fullmatch(pattern)]
    if len(patterns) > PATTERNS_MAX or len(expressions) > EXPRESSIONS_MAX:
        raise UnusableFile(f"its {name} has too many patterns")
    for pattern in expressions:
        try:
            if len(pattern) > LENGTH_MAX or re.search(r"\(\?(?!:)", pattern) or _repeats(pattern) > REPEATS_MAX:
                raise regex.error("too long, or of a kind that is not needed here")
            regex.compile(pattern)
        except (regex.error, RecursionError, OverflowError, MemoryError) as error:
            raise UnusableFile(f"its {name} has a pattern that is none: {pattern[:40]}") from error
    for value in patterns.values():
        _check_number(name, value, whole=name == "rank_pattern")


def _repeats(pattern: str) -> int:
    """How often the innermost part of a pattern may stand in it, if all its counted repeats are nested.

    >>> _repeats("((x{99}){,99})"), _repeats("to_[qkv]")
    (9801, 1)
    """
    counts = ([int(digits) for digits in repeat.groups() if digits] for repeat in REPEAT.finditer(pattern))
    return math.prod(max(1, *count, 1) for count in counts)


def _check_number(name: str, value: Any, whole: bool = False) -> None:
    if value is None:
        return
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or abs(value) > ALPHA_MAX
    ):
        raise UnusableFile(f"its {name} is no number that makes sense: {str(value)[:40]}")
    if whole and not (value == int(value) and 1 <= value <= RANK_MAX):
        raise UnusableFile(f"its {name} has to be a whole number from 1 to {RANK_MAX:,}, and not {value}")
