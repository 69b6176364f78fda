"""Encoders with their tokens over ranks give what they give on one process: the reference's numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueband.optimized import LEDForConditionalGeneration, XLMRobertaModel
from trueband.optimized.parallel import over_ranks
from trueband.properties.bounds import Precision
from trueband.properties.bounds.model_variance import led_encoder_moments
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.models.case import ModelCase
from trueband.properties.models.training import Expected
from trueband.properties.results.verdict import judge
from trueband.reference import LEDConfig, XLMRobertaConfig
from trueband.reference.config import LEDConfig as Settings

SCRIPT = Path(__file__).with_name("encoder_ranks.py")
SIZES: dict[str, Any] = {"tokens": 23, "batch": 2, "layers": 2, "heads": 2, "windows": (3, 5), "seed": 11}
MASKS: dict[str, Any] = {"masked": ((), (0, 1, 20, 21, 22)), "global_": ((0, 14), (7,))}
CUTS = ([0, 12, 23], [0, 2, 3, 23])  # two shards; and a short one between two others


def run(case: ModelCase, cuts: list[int], folder: Path, moved: bool = False, uneven: bool = False) -> list[Any]:
    """What each rank wrote.

    Args:
        moved: every rank is told the tokens of another place: the ids one to the left.
        uneven: one rank alone has an attention_mask.
    """
    inputs: dict[str, Any] = {**with_labels(case)}
    if moved:
        inputs["input_ids"] = np.roll(inputs["input_ids"], -1, axis=1)
    np.savez(folder / "inputs.npz", **inputs)
    (folder / "case.json").write_text(case.to_json())
    (folder / "cuts.json").write_text(json.dumps({"cuts": cuts, "masks_on_rank_0_only": uneven}))
    ranks = len(cuts) - 1
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(ranks), str(folder)], stderr=subprocess.PIPE, text=True
        )
        for rank in range(ranks)
    ]
    errors = [each.communicate(timeout=300)[1] for each in started]
    assert not any(each.returncode for each in started), errors
    return [dict(np.load(path)) for path in sorted(folder.glob("rank*.npz"))]


def with_labels(case: ModelCase) -> dict[str, np.ndarray]:
    """The inputs of a case, with labels for some of its real tokens."""
    labels = np.where(case.real & (np.arange(case.tokens) % 3 > 0), case.inputs["input_ids"][:, ::-1], -100)
    return {**case.inputs, "labels": labels}


@pytest.mark.evidence
@pytest.mark.parametrize("cuts", CUTS, ids=["two", "three"])
def test_a_longformer_with_its_loss_and_gradients(cuts: list[int], tmp_path: Path) -> None:
    case = ModelCase("longformer", **SIZES, **MASKS)
    expected = Expected.of(case, with_labels(case))
    found = run(case, cuts, tmp_path)
    logits = expected.step.logits
    verdict = judge(
        np.concatenate([each["states"] for each in found], axis=1), expected.value(logits), expected.bound_of(logits)
    )
    assert verdict.passed, str(verdict)
    names = {name.removeprefix("gradient ") for each in found for name in each if name != "states"}
    assert len(names) > 40
    for name in names:
        total = sum(each[f"gradient {name}"].astype(np.float64) for each in found)
        verdict = judge(total, expected.gradient(name), expected.bound(name), name)
        assert verdict.passed, str(verdict)


@pytest.mark.evidence
@pytest.mark.parametrize("moved", [False, True], ids=["right", "ids moved by one"])
def test_the_encoder_of_an_led(moved: bool, tmp_path: Path) -> None:
    case = ModelCase("led", **SIZES, **MASKS)
    masks: Any = {name: case.inputs[name] for name in ("attention_mask", "global_attention_mask")}
    config, precision = Settings.from_dict(case.config), Precision.of("float32")
    ids = case.inputs["input_ids"]
    states = led_encoder_moments(case.state, config, ids, precision, **masks)["last_hidden_state"]
    found = np.concatenate([each["states"] for each in run(case, CUTS[1], tmp_path, moved)], axis=1)
    assert judge(found, states.value, sigma_bound(states)).passed != moved


@pytest.mark.evidence
def test_a_mask_that_one_rank_alone_has_is_an_error_on_every_rank(tmp_path: Path) -> None:
    run(ModelCase("longformer", **SIZES), CUTS[0], tmp_path, uneven=True)
    told = "attention_mask: expected one on every rank or on none, got one on the ranks [0]"
    assert [path.read_text() for path in sorted(tmp_path.glob("error*"))] == [told, told]


def test_a_model_that_has_a_decoder_or_no_band_is_refused() -> None:
    led = LEDForConditionalGeneration(
        LEDConfig(vocab_size=9, d_model=4, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
                  decoder_attention_heads=1, encoder_ffn_dim=4, decoder_ffn_dim=4, attention_window=2,
                  max_encoder_position_embeddings=8, max_decoder_position_embeddings=8)
    )  # fmt: skip
    with pytest.raises(ValueError, match="expected an encoder, got LEDForConditionalGeneration, which has a decoder"):
        over_ranks(led).__enter__()
    small: dict[str, Any] = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    with pytest.raises(ValueError, match="expected layers of a Longformer or of LED's encoder, got XLMRobertaModel"):
        over_ranks(XLMRobertaModel(XLMRobertaConfig(**small, intermediate_size=4))).__enter__()
