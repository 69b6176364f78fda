"""A recording: what every stage of a model reads, and what the reference gives for it at selected rows.

One golden of the kind "taps" (weights that anybody can fetch) or "recording" (a model of the user's). Its arrays:

    input.<argument>        ids and masks
    rows, decoder_rows      which rows are kept
    columns                 which of the vocabulary, of the logits of a language model
    entering.<stage>        (b, n, D) float32: what the stage reads, all rows. Its values are taken as exact.
    tap.<name>              (b, r, D) float64: the reference, at the rows
    sigma.<dtype>.<name>    standard deviation of a correct implementation's error, see `sigmas`
    own.<name>              what the implementation gave that was recorded beside the reference

What is given for a text and not for each of its tokens has no rows: "pooler" (b, D), "logits" (b, C) of a head that
classifies texts, which reads (b, D). Start and end logits are (b, r). Of choices b counts every choice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.heads import is_of_texts, is_of_words
from trueband.golden.recordings.inputs import STATES, Inputs
from trueband.golden.recordings.model import Recorded
from trueband.golden.recordings.moments import stage_moments
from trueband.golden.recordings.rows import Rows
from trueband.golden.recordings.sigmas import packed, unpacked
from trueband.golden.store import Golden, GoldenFileError
from trueband.golden.store.digest import inputs_sha256
from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import DTYPES, Precision, round_to, roundoff
from trueband.properties.bounds.variance import SIGMAS, Moments
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.config import LEDConfig

Array = NDArray[Any]
Arrays = dict[str, Array]
RUN = "taps"
GRID = "float32"  # of what the stages read
MOST_COLUMNS = 256  # of a vocabulary


def taps_of(
    model: Recorded,
    inputs: Inputs,
    states: Mapping[str, Array],
    rows: Mapping[str, Rows],
    stored: str,
    progress: Callable[[str], None] = lambda stage: None,
) -> Arrays:
    """The arrays of a recording, "own" ones left out.

    Args:
        states: what each stage reads in some run of the whole model; brought to the grid here.
        rows: "rows", and of an LED "decoder_rows".
        stored: dtype of the weights.
        progress: called with each stage before it is computed.
    """
    columns = np.linspace(0, model.config.vocab_size - 1, min(MOST_COLUMNS, model.config.vocab_size)).astype(np.int64)
    arrays: Arrays = {f"input.{name}": array for name, array in inputs.items()} | dict(rows) | {"columns": columns}
    read = {name: round_to(state.astype(np.float64), GRID) for name, state in states.items()}
    arrays |= {f"entering.{name}": state.astype(np.float32) for name, state in read.items()}
    if STATES in inputs:
        read["encoded"] = inputs[STATES].astype(np.float64)
    for stage in model.stages:
        progress(stage)
        kept = rows["decoder_rows" if stage.startswith("decoder.") or _of_a_decoder(model, stage) else "rows"]
        for dtype in DTYPES:
            precision = Precision.of(dtype).holding(stored)
            entering = {name: _cast(read[name], precision) for name in (stage, "encoded") if name in read}
            for name, moments in stage_moments(model, stage, inputs, entering, kept, precision).items():
                at = np.s_[..., columns] if is_of_words(model.model_class, name) else np.s_[...]
                arrays[f"tap.{name}"] = np.ascontiguousarray(moments.value[at])
                arrays[f"sigma.{dtype}.{name}"] = packed(np.sqrt(moments.variance[at]))
    return arrays


def _of_a_decoder(model: Recorded, stage: str) -> bool:
    return stage == "logits" and isinstance(model.config, LEDConfig)


def _cast(x: Float, precision: Precision) -> Moments:
    """Cast an array to the dtype in which an implementation holds it."""
    rounded = roundoff(precision.dtype, GRID)
    return Moments(x, (rounded * x) ** 2 / 3 + (precision.tiny_output**2 if rounded else 0.0))


def tap_names(golden: Golden) -> list[str]:
    """The names, in the order of computation.

    Raises:
        GoldenFileError: not a recording, or arrays that are missing.
    """
    names = golden.metadata.details.get("taps")
    if golden.metadata.run != RUN or not isinstance(names, list):
        raise GoldenFileError(f"{golden.id}: expected a recording of taps, got a golden of kind {golden.metadata.kind}")
    needed = ["rows", "columns", "input.input_ids"]
    needed += [f"{kind}.{name}" for name in names for kind in ("tap", *(f"sigma.{dtype}" for dtype in DTYPES))]
    missing = [name for name in needed if name not in golden.arrays]
    if missing:
        raise GoldenFileError(f"{golden.id}: expected the array {missing[0]}, got a recording without it")
    return names


def entering(golden: Golden) -> Arrays:
    """The input of each stage."""
    return _part(golden, "entering.")


def own_taps(golden: Golden) -> Arrays:
    """The taps of the recorded implementation. Empty where only the reference was recorded."""
    return _part(golden, "own.")


def _part(golden: Golden, start: str) -> Arrays:
    return {name.removeprefix(start): array for name, array in golden.arrays.items() if name.startswith(start)}


def sigma(golden: Golden, name: str, dtype: str) -> Float:
    """The standard deviation of a tap's rounding error, for an implementation that computes in `dtype`."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    return unpacked(golden.arrays[f"sigma.{dtype}.{name}"])


def selected(golden: Golden, name: str, value: Array) -> Array:
    """The recorded rows (and columns) of a tap that has all of them; one of the recorded shape as it is."""
    expected = golden.arrays[f"tap.{name}"]
    if value.shape == expected.shape:
        return value
    rows = rows_of(golden, name)
    if rows is None:
        raise ValueError(f"{name}: expected shape {expected.shape}, got {value.shape}")
    ids = golden.arrays["input.decoder_input_ids" if rows is golden.arrays.get("decoder_rows") else "input.input_ids"]
    shape: tuple[int | str, ...] = (len(expected), ids.shape[-1])
    if value.ndim != expected.ndim or value.shape[:2] != shape:
        whole = shape + ("...",) * (expected.ndim - 2)
        raise ValueError(f"{name}: expected shape {whole} or {expected.shape}, got {value.shape}")
    value = value[:, rows]
    return value[..., golden.arrays["columns"]] if is_of_words(_class(golden), name) else value


def rows_of(golden: Golden, name: str) -> Rows | None:
    """The recorded rows of a tap; None where it is one for each text."""
    if is_of_texts(_class(golden), name):
        return None
    of_decoder = name.startswith("decoder.") or (name.endswith("logits") and "decoder_rows" in golden.arrays)
    return golden.arrays["decoder_rows" if of_decoder else "rows"]


def _class(golden: Golden) -> str:
    return golden.metadata.model_class or ""


def judge_tap(golden: Golden, name: str, value: Array, dtype: str) -> Verdict:
    """Judge one tap: it must be within 8 standard deviations of the reference. The index is that of the whole tap.

    Args:
        value: all rows, or the recorded ones.
        dtype: the dtype that the implementation computed in.

    Raises:
        ValueError: another shape, an unknown dtype, or no such tap.
    """
    if name not in tap_names(golden):
        raise ValueError(f"tap: expected one of {', '.join(tap_names(golden))}, got {name!r}")
    bound = Bound({f"{SIGMAS} sigma of {dtype}": SIGMAS * sigma(golden, name, dtype)})
    verdict = judge(selected(golden, name, np.asarray(value)), golden.arrays[f"tap.{name}"], bound, name)
    rows = rows_of(golden, name)
    if rows is None:
        return verdict
    batch, row, *rest = verdict.index
    columns = golden.arrays["columns"] if is_of_words(_class(golden), name) else None
    last = [int(i if columns is None else columns[i]) for i in rest]
    return dataclasses.replace(verdict, index=(batch, int(rows[row]), *last))


def judge_taps(golden: Golden, taps: Mapping[str, Array], dtype: str) -> list[Verdict]:
    """Judge all taps, in the order of computation.

    Raises:
        ValueError: a tap is missing, or has another shape.
    """
    verdicts = []
    for name in tap_names(golden):
        if name not in taps:
            raise ValueError(f"taps: expected {name}, got {', '.join(taps)}")
        verdicts.append(judge_tap(golden, name, taps[name], dtype))
    return verdicts


def recipe_of(inputs: Inputs) -> tuple[dict[str, Any], str]:
    """`Metadata.inputs` of arrays that stand in the file, and their sha256."""
    recipe = {name: {"tensor": f"input.{name}"} for name in inputs}
    return recipe, inputs_sha256(recipe, {f"input.{name}": array for name, array in inputs.items()})
