"""A recording against the model that it is of: every layer fed its recorded input, and judged by the recorded bound."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from trueband.golden.recordings.recording import entering, judge_taps, tap_names
from trueband.golden.records import GoldenRecord, Outcome
from trueband.golden.store import Golden, read_golden
from trueband.hub.folder_files import ModelFolder, load_model, read_model
from trueband.properties.bounds.precision import DTYPES
from trueband.witnesses.taps import fed_taps


def verify_recording(
    path: Path, folder: Path | None, dtype: str | None = None, device: str | None = None
) -> list[GoldenRecord]:
    """A record for each tap, in the order of computation, and one for each stage that is wired wrong.

    Args:
        path: the path of the recording.
        folder: the folder of the model, with the weights that were recorded.
        dtype: the dtype to compute in; None: the recorded one.
        device: None: the CPU.

    Raises:
        ValueError: an altered file, no folder, other weights than the recorded ones, a model with other layers.
    """
    start = time.perf_counter()
    golden = read_golden(path)
    names = tap_names(golden)
    if folder is None:
        raise ValueError(f"--checkpoint: expected the folder of the model that {path} was recorded of, got none")
    dtype = dtype or golden.metadata.dtype
    if dtype not in DTYPES:
        raise ValueError(f"--dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    model = read_model(folder, "--checkpoint")
    _check_weights(golden, model)
    note = _changed(golden.metadata.details["config"], model)
    recorded, now = set(entering(golden)) - {"encoded"}, {*model.recorded.stages}
    differences = [f" without {stage}" for stage in sorted(recorded - now)]
    differences += [f" with {stage}" for stage in sorted(now - recorded) if not stage.endswith("embeddings")]
    if differences or model.recorded.model_class != golden.metadata.model_class:
        raise ValueError(
            f"{folder}: expected a {golden.metadata.model_class} with the stages of {path}, got a "
            f"{model.recorded.model_class}{(differences or [''])[0]}{note}"
        )
    run = fed_taps(load_model(model, dtype, device), model.recorded, golden.inputs, entering(golden))
    where = f"{folder.name}, {dtype}" + (f" on {device}" if device else "")
    outcomes = [("wiring", Outcome(False, line + note)) for line in run["wiring"]]
    for name, verdict in zip(names, judge_taps(golden, run["taps"], dtype), strict=True):
        outcome = Outcome.of(verdict)
        outcomes.append((name, outcome if verdict.passed else _with_note(outcome, note)))
    seconds = (time.perf_counter() - start) / len(outcomes)
    return [_record(golden, name, outcome, where, seconds) for name, outcome in outcomes]


def _check_weights(golden: Golden, model: ModelFolder) -> None:
    recorded = golden.metadata.weights_sha256
    for name, sha256 in recorded.items():
        got = model.sha256.get(name)
        if got != sha256:
            what = "no such file" if got is None else f"{got}: other weights than {golden.id} was recorded of"
            raise ValueError(f"--checkpoint: expected {model.folder / name} with sha256 {sha256}, got {what}")


def _changed(recorded: dict[str, Any], model: ModelFolder) -> str:
    """Describe how the configuration differs from the recorded one, for messages."""
    before = type(model.recorded.config).from_dict(recorded).to_dict()
    now = model.recorded.config.to_dict()
    names = [name for name in type(model.recorded.config).__dataclass_fields__ if name in now and name in before]
    changes = [f"{name} {now[name]}, recorded {before[name]}" for name in names if now[name] != before[name]]
    return f" (config.json: {'; '.join(changes)})" if changes else ""


def _with_note(outcome: Outcome, note: str) -> Outcome:
    return Outcome(False, outcome.detail + note, outcome.value, outcome.expected, outcome.error, outcome.tolerance)


def _record(golden: Golden, name: str, outcome: Outcome, where: str, seconds: float) -> GoldenRecord:
    metadata = golden.metadata
    return GoldenRecord.of(outcome, f"{golden.id}:{name}", metadata.claim, where, seconds, metadata.kind)
