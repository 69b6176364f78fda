"""Recording the taps of a user's model: the reference in float64, and the optimized model beside it, layer by layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trueband import __version__
from trueband.golden.recordings.difference import Apart, difference
from trueband.golden.recordings.inputs import Inputs, check_inputs, texts
from trueband.golden.recordings.recording import RUN, entering, judge_taps, recipe_of, selected, tap_names, taps_of
from trueband.golden.recordings.rows import Rows, parse_rows, selected_rows
from trueband.golden.store import Golden, Metadata, Source, read_golden, write_golden
from trueband.golden.store.file import check_writable
from trueband.hub.folder_files import ModelFolder, float64_states, load_model, read_inputs, read_model
from trueband.properties.bounds.precision import DTYPES
from trueband.properties.results.machine import machine
from trueband.properties.results.verdict import Verdict
from trueband.reference.config import LEDConfig, LongformerConfig
from trueband.witnesses.taps import device_of, fed_taps

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Request:
    """A request of `trueband golden record`.

    Attributes:
        folder: the folder of the model.
        inputs: file of ids and masks.
        out: file to write.
        dtype: the dtype of the recorded implementation; None: as the weights are stored.
        device: None: the CPU.
        rows: see `parse_rows`; None: picked.
        why: reason to replace `out`.
    """

    folder: Path
    inputs: Path
    out: Path
    dtype: str | None = None
    device: str | None = None
    rows: str | None = None
    why: str | None = None


@dataclasses.dataclass(frozen=True)
class Made:
    """The result of a request.

    Attributes:
        golden: the recording.
        wiring: a line for each stage that does not read what the stage before gave.
        verdicts: the verdicts of the recorded implementation against the reference, tap by tap.
        old: the recording that was replaced, or None.
        apart: how far old and new are apart; empty where they cannot be compared, `incomparable` then says why.
    """

    golden: Golden
    wiring: list[str]
    verdicts: list[Verdict]
    old: Golden | None = None
    apart: tuple[Apart, ...] = ()
    incomparable: str = ""

    @property
    def passed(self) -> bool:
        return not self.wiring and all(verdict.passed for verdict in self.verdicts)


def record(request: Request, tell: Tell = lambda line: None) -> Made:
    """Record, judge, and write the file if the recorded implementation agrees with the reference.

    Args:
        tell: called with a line of progress now and then.

    Raises:
        ValueError: a file that is there without a reason to replace it, or that cannot be written; inputs or a model
            that cannot be recorded.
        OSError: a disk that is full. The old file is as it was.
    """
    if request.out.suffix != ".safetensors":
        raise ValueError(f"--out: expected a file named *.safetensors, got {request.out}")
    check_writable("--out", request.out)
    old = _old(request)
    read = read_inputs(request.inputs)
    model = read_model(request.folder, "MODEL_DIR")
    dtype = request.dtype or model.stored
    if dtype not in DTYPES:
        raise ValueError(f"--dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    inputs = check_inputs(model.recorded, read)
    rows = chosen_rows(model, inputs, request.rows)
    tell(f"{model.recorded.model_class}, {len(model.recorded.stages)} stages, {_size(model, inputs)}")
    for name in model.recorded.left_out:
        tell(f"not recorded: the weights {name}.*, since config.json names no class that has them (architectures)")
    states = float64_states(model, inputs)
    arrays = taps_of(model.recorded, inputs, states, rows, model.stored, lambda stage: tell(f"reference: {stage}"))
    golden = _golden(request, model, inputs, arrays, dtype, [] if old is None else old.metadata.why)
    tell(f"optimized: {dtype} on {request.device or 'cpu'}")
    optimized = load_model(model, dtype, request.device)
    run = fed_taps(optimized, model.recorded, inputs, entering(golden))
    own = {name: selected(golden, name, run["taps"][name]) for name in tap_names(golden)}
    container = np.float64 if dtype == "float64" else np.float32
    device = device_of(optimized)
    details = golden.metadata.details | {"device": device, "machine": machine(device)}
    golden = Golden(
        dataclasses.replace(golden.metadata, details=details),
        golden.arrays | {f"own.{name}": array.astype(container) for name, array in own.items()},
    )
    made = Made(golden, run["wiring"], judge_taps(golden, own, dtype), old)
    if old is not None:
        try:
            made = dataclasses.replace(made, apart=tuple(difference(old, golden)))
        except ValueError as error:
            made = dataclasses.replace(made, incomparable=str(error))
    if made.passed:
        write_golden(request.out, golden)
    return made


def chosen_rows(model: ModelFolder, inputs: Inputs, wanted: str | None) -> dict[str, Rows]:
    """Rows of the encoder and, of an LED, of the decoder."""
    config, own = model.recorded.config, texts(model.recorded, inputs)
    windows: tuple[int, ...] = ()
    if isinstance(config, LongformerConfig | LEDConfig):
        windows = tuple(config.window(i) for i in range(config.num_hidden_layers))
    real, flagged = (
        None if name not in own else own[name] == 1 for name in ("attention_mask", "global_attention_mask")
    )
    tokens = own["input_ids"].shape[1]
    rows = {"rows": selected_rows(tokens, windows, real, flagged) if wanted is None else parse_rows(wanted, tokens)}
    if "decoder_input_ids" in inputs:
        mask = inputs.get("decoder_attention_mask")
        tokens = inputs["decoder_input_ids"].shape[1]
        rows["decoder_rows"] = selected_rows(tokens, (), None if mask is None else mask == 1)
    return rows


def _old(request: Request) -> Golden | None:
    if not request.out.exists():
        return None
    if request.why is None:
        raise ValueError(f"--why: expected a reason to replace {request.out}, which is kept in the file, got none")
    return read_golden(request.out)


def _golden(
    request: Request, model: ModelFolder, inputs: Inputs, arrays: dict[str, Any], dtype: str, why: list[str]
) -> Golden:
    recipe, sha256 = recipe_of(inputs)
    taps = [name.removeprefix("tap.") for name in arrays if name.startswith("tap.")]
    metadata = Metadata(
        id=request.out.stem,
        kind="recording",
        claim=f"the layers of {model.folder.resolve().name} give what they gave",
        checkpoint=None,
        run=RUN,
        model_class=model.recorded.model_class,
        inputs=recipe,
        output="taps",
        dtype=dtype,
        source=Source("trueband golden record"),
        license="of the model's owner",
        generator=f"trueband {__version__}",
        inputs_sha256=sha256,
        weights_sha256=model.sha256,
        why=[*why, *([request.why] if request.why else [])],
        details={"config": model.config, "taps": taps, "weights": model.stored},
    )
    return Golden(metadata, arrays)


def _size(model: ModelFolder, inputs: Inputs) -> str:
    """The least size of the file: what each stage reads, float32."""
    batch, tokens = texts(model.recorded, inputs)["input_ids"].shape
    total = 4 * batch * tokens * model.recorded.config.hidden_size * len(model.recorded.stages)
    return f"{batch} x {tokens} tokens, a file of about {max(total / 1e6, 0.1):.1f} MB"
