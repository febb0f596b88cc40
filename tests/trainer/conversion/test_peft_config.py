"""Settings beside LoRA's matrices: heeded as peft heeds them, and bounded, since strangers write them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from trainer.conversion.peft_config import PeftSettings, UnusableFile

MODULE = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def of(**settings: Any) -> PeftSettings:
    return PeftSettings({"unet": settings})


@pytest.mark.parametrize(
    ("settings", "alpha"),
    [
        ({}, 4),
        ({"lora_alpha": 8}, 8),
        ({"lora_alpha": 8, "use_rslora": True}, 16),
        ({"lora_alpha": 8, "alpha_pattern": {"to_q": 2}}, 2),
        ({"lora_alpha": 8, "alpha_pattern": {"attn1.to_q": 3, "to_q": 2}}, 3),  # the first that fits
        ({"lora_alpha": 8, "alpha_pattern": {"o_q": 2}}, 8),  # whole names only
        ({"lora_alpha": 8, "alpha_pattern": {"^to_q": 2}}, 8),
        ({"lora_alpha": 8, "alpha_pattern": {f"^{MODULE}": 2}}, 2),
        ({"lora_alpha": 8, "alpha_pattern": {r"down_blocks\.\d\..*attn1\.to_(q|k)": 2}}, 2),
        ({"lora_alpha": 8, "alpha_pattern": {r"attn2\..*": 2}}, 8),
        ({"lora_alpha": 8, "alpha_pattern": {r"down_blocks\.\d{1,2}\..*attn1\.to_q": 2}}, 2),
    ],
)
def test_alphas_are_those_of_peft(settings: dict[str, Any], alpha: float) -> None:
    assert of(**settings).alpha(f"unet.{MODULE}", rank=4) == alpha


def test_each_network_has_its_own_settings() -> None:
    metadata = {"unet.lora_alpha": 8, "text_encoder.lora_alpha": 2}
    told = PeftSettings.of_metadata({"lora_adapter_metadata": json.dumps(metadata)})
    layer = "encoder.layers.0.self_attn.q_proj"
    found = [told.alpha(path, 4) for path in (f"unet.{MODULE}", f"text_encoder.{layer}", f"text_encoder_2.{layer}")]
    assert found == [8, 2, 4]


def test_a_file_beside_it_is_about_all(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 12}))
    assert PeftSettings.of_files({"": tmp_path / "adapter_config.json"}).alpha(f"unet.{MODULE}", 4) == 12


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"use_dora": True}, "it is a DoRA"),
        ({"lora_bias": True}, "a LoRA with biases"),
        ({"bias": "all"}, "a LoRA with biases"),
        ({"peft_type": "LOKR"}, "it is no LoRA but a LOKR"),
        ({"modules_to_save": ["conv_in"]}, "has learned whole layers besides"),
        ({"fan_in_fan_out": True}, "transposed layers"),
        ({"init_lora_weights": "pissa_niter_16"}, "begun with other weights"),
        ({"r": 0}, "r has to be a whole number from 1"),
        ({"r": -4}, "r has to be a whole number from 1"),
        ({"r": 10**9}, "r is no number that makes sense"),
        ({"r": 5000}, "r has to be a whole number from 1 to 4,096"),
        ({"rank_pattern": {"to_q": 0}}, "rank_pattern has to be a whole number from 1"),
        ({"rank_pattern": {"to_q": 2.5}}, "rank_pattern has to be a whole number"),
        ({"lora_alpha": "much"}, "lora_alpha is no number"),
        ({"lora_alpha": float("inf")}, "lora_alpha is no number"),
        ({"alpha_pattern": {"to_q": float("nan")}}, "alpha_pattern is no number"),
        ({"alpha_pattern": ["to_q"]}, "alpha_pattern holds no patterns"),
        ({"alpha_pattern": {"(to_q": 1}}, "has a pattern that is none"),
        ({"alpha_pattern": {"a" * 200 + ".*" * 60: 1}}, "has a pattern that is none"),
        ({"alpha_pattern": {"((((x{99}){99}){99}){99}){99}": 1}}, "has a pattern that is none"),
        ({"alpha_pattern": {"((x{,999}){99})to_q": 1}}, "has a pattern that is none"),
        ({"alpha_pattern": {f"layer{i}.*": 1 for i in range(101)}}, "alpha_pattern has too many patterns"),
        ({"alpha_pattern": {f"layer{i}": 1 for i in range(5001)}}, "alpha_pattern has too many patterns"),
    ],
)
def test_what_is_out_of_bounds_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UnusableFile) as refused:
        of(**settings)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("text", ["{", "[]", '"a"', "[" * 100_000])
def test_settings_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(UnusableFile, match=r"adapter_config\.json"):
        PeftSettings.of_files({"": tmp_path / "adapter_config.json"})
    with pytest.raises(UnusableFile, match="lora_adapter_metadata"):
        PeftSettings.of_metadata({"lora_adapter_metadata": text})


@pytest.mark.parametrize("pattern", ["(([a-z0-9_.]+)+)+!", "(a|a|b|_|.)*(a|.)*(.|b)*(_|.)*!", "(.*)*x(.*)*y(.*)*!"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    told, began_s = of(lora_alpha=8, alpha_pattern={pattern: 2}), time.monotonic()
    try:
        for layer in range(800):
            told.alpha(f"unet.{MODULE}.{layer}", 4)
    except UnusableFile as error:
        assert "takes too long to match" in str(error)
    assert time.monotonic() - began_s < 60
