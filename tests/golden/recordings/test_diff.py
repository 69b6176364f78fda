"""`trueband golden diff`: symmetrical, silent about rounding, and apart from the layer on where something changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trueband.golden.recordings.difference import difference
from trueband.golden.recordings.recording import tap_names
from trueband.golden.store import open_store, read_golden

Cli = Callable[..., int]
Made = Callable[[str], SimpleNamespace]


@pytest.fixture
def recorded(made: Made, golden_cli: Cli, tools: Any, tmp_path: Path) -> Callable[..., Path]:
    """A second recording of the longformer, of another folder or with other options."""

    def record(name: str, folder: Path | None = None, *options: str) -> Path:
        model, out = made("longformer"), tmp_path / f"{name}.safetensors"
        assert golden_cli("record", folder or model.folder, "--inputs", model.inputs, "--out", out, *options) == 0
        return out

    return record


def test_two_dtypes_of_the_same_weights_are_within_the_bound(
    made: Made, recorded: Callable[..., Path], golden_cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = made("longformer").recording, recorded("bf16", None, "--dtype", "bfloat16")
    capsys.readouterr()
    assert golden_cli("diff", a, b) == 0
    told = capsys.readouterr().out
    assert "no layer is apart by more than rounding" in told
    found = difference(read_golden(a), read_golden(b))
    assert all(each.reference <= 1 and each.own is not None and 0 < each.own <= 1 for each in found)


def test_it_is_symmetrical_and_tells_from_where_on(
    made: Made,
    recorded: Callable[..., Path],
    golden_cli: Cli,
    tools: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tools.with_one_bit_changed(
        made("longformer").folder, tmp_path / "model", "longformer.encoder.layer.1.intermediate.dense.weight", 18
    )
    a, b = made("longformer").recording, recorded("changed", folder)
    forth, back = (difference(read_golden(x), read_golden(y)) for x, y in ((a, b), (b, a)))
    assert forth == back
    before = forth.index(next(each for each in forth if each.name == "layer.1"))
    assert all(each.within for each in forth[:before])
    assert not any(each.within for each in forth[before:])
    capsys.readouterr()
    assert golden_cli("diff", a, b) == 1
    assert "apart from layer.1 on" in capsys.readouterr().out
    assert golden_cli("diff", a, b, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["within"] is False
    assert told["machines"] == [read_golden(each).metadata.details["machine"] for each in (a, b)]
    assert [each["name"] for each in told["taps"]] == tap_names(read_golden(a))


def test_the_reference_alone_is_compared_where_nothing_else_is_there() -> None:
    golden = open_store().golden("taps_bart_led")
    found = difference(golden, golden)
    assert [(each.reference, each.own) for each in found] == [(0.0, None)] * len(found)
    tap = tap_names(golden)[3]
    changed = golden.arrays | {f"tap.{tap}": golden.arrays[f"tap.{tap}"] + np.float64(2.0**-30)}
    apart = difference(golden, dataclasses.replace(golden, arrays=changed))
    assert [each.name for each in apart if not each.within] == [tap]


def test_rows_that_both_hold_are_compared(made: Made, recorded: Callable[..., Path]) -> None:
    a, b = (read_golden(path) for path in (made("longformer").recording, recorded("rows", None, "--rows", "0,5,31")))
    found = difference(a, b)
    assert all(each.reference <= 1 and each.own == 0 for each in found)
    changed = b.arrays | {"tap.layer.2": b.arrays["tap.layer.2"].copy()}
    changed["tap.layer.2"][1, -1, 3] += 1  # row 31, which both hold
    apart = difference(a, dataclasses.replace(b, arrays=changed))
    assert [each.name for each in apart if not each.within] == ["layer.2"]


def test_recordings_of_other_inputs_rows_or_models_are_refused(
    made: Made, recorded: Callable[..., Path], golden_cli: Cli, tools: Any, tmp_path: Path
) -> None:
    a = made("longformer").recording
    left = np.setdiff1d(np.arange(32), read_golden(a).arrays["rows"])[0]
    inputs, out = tools.make_inputs("longformer", tmp_path / "in.json", seed=3), tmp_path / "out.safetensors"
    assert golden_cli("record", made("longformer").folder, "--inputs", inputs, "--out", out) == 0
    for b, message in (
        (out, "B: expected the inputs of recording, got others in out"),
        (recorded("rows", None, "--rows", str(left)), "B: expected a row of recording for embeddings, got none"),
        (made("roberta").recording, "B: expected the inputs of recording"),
    ):
        with pytest.raises(ValueError, match=message):
            golden_cli("diff", a, b)
