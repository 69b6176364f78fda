"""`trueband golden verify --checkpoint DIR`: every published output of the checkpoint in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trueband.golden.checkpoints import CheckpointEntry, Directory, Recognition, recognize
from trueband.golden.checkpoints.recognize import compared
from trueband.golden.checkpoints.runner import FORM
from trueband.golden.records import GoldenRecord, Outcome
from trueband.golden.runners import Context, run_golden
from trueband.golden.store import Golden, Store, open_store
from trueband.hub.folder import read_config
from trueband.hub.folder_models import WITNESSES
from trueband.hub.readable import readable_folder

RUN_BY_CHECKPOINT = ("checkpoint", "token_ids")
Say = Callable[[str], None]


def verify_checkpoint(
    directory: Path,
    names: Sequence[str] | None = None,
    *,
    chosen: str | None = None,
    witness: str = "optimized",
    progress: Say = lambda line: None,
    on_record: Callable[[GoldenRecord], None] = lambda record: None,
    keep: Callable[[Golden], bool] = lambda golden: True,
    store: Store | None = None,
    table: Mapping[str, CheckpointEntry] | None = None,
) -> list[GoldenRecord]:
    """Recognize the checkpoint, then run all goldens that belong to it, each with its class.

    Args:
        directory: a folder with config.json and weights; tokenizer.json where goldens give texts.
        names: ids of goldens; None or empty: all of the checkpoint.
        chosen: what the user says the checkpoint is (`--as`).
        witness: "optimized" (float32) or "reference" (float64, slow).
        progress: called with a line on what runs next.
        on_record: called with each record as it is made.
        keep: which of the goldens to run.
        store, table: None: those of the package.

    Returns:
        First whether configuration and, where their digest is published, weights are the published ones; then one
        record for each golden. One that cannot run says why; one that crashes has failed, and the rest goes on.

    Raises:
        ValueError: a folder that cannot be read, that is no checkpoint of the table or could be several, names that
            are not goldens of it.
    """
    from trueband.optimized.checkpoints.weight_files import read_weights

    if witness not in WITNESSES:
        raise ValueError(f"--witness: expected {' or '.join(WITNESSES)}, got {witness!r}")
    config = read_config(directory, "--checkpoint")
    recognition = recognize(directory, config, chosen, table)
    entry = recognition.entry
    read_weights(directory)  # a truncated file is an error of the user's folder, not a failure of goldens
    goldens = [golden for golden in goldens_of(entry, open_store() if store is None else store, names) if keep(golden)]
    progress(f"{directory}: {entry.id}, recognized by {recognition.by}; {len(goldens)} published outputs")
    records = identity(recognition, config, witness)
    for record in records:
        on_record(record)
    with readable_folder(directory, config) as folder:
        models = WITNESSES[witness](folder)
        context = Context(witness, {FORM: models}, options={"directory": Directory(directory, config)})
        for i, golden in enumerate(goldens):
            progress(f"{i + 1}/{len(goldens)} {golden.id}: {_running(golden)}")
            record = run_golden(golden, context)
            records.append(record)
            on_record(record)
    return records


def goldens_of(entry: CheckpointEntry, store: Store, names: Sequence[str] | None) -> list[Golden]:
    """Goldens that belong to a checkpoint, those of one class and one input one after the other.

    Raises:
        ValueError: a name that is not one of them.
    """
    own = [name for name in store if store.index[name]["checkpoint"] in entry.keys]
    goldens = {name: store.golden(name) for name in own}
    goldens = {name: golden for name, golden in goldens.items() if golden.metadata.run in RUN_BY_CHECKPOINT}
    strangers = [name for name in names or () if name not in goldens]
    if strangers:
        raise ValueError(
            f"ID: expected goldens of {entry.id} ({', '.join(goldens) or 'there are none'}), got {strangers}"
        )
    chosen = [golden for name, golden in goldens.items() if not names or name in names]
    return sorted(chosen, key=lambda item: (item.metadata.model_class or "", item.metadata.inputs_sha256, item.id))


def identity(recognition: Recognition, config: Mapping[str, Any], witness: str) -> list[GoldenRecord]:
    """Judge whether configuration and weights are the published ones."""
    entry, start = recognition.entry, time.perf_counter()
    differ = compared(entry.computes, config)
    detail = "; ".join(differ) if differ else f"{', '.join(entry.computes) or 'nothing'} compared: all as published"
    claims = [("configuration", "config.json says what the published one says", not differ, detail)]
    for file, (published, here) in recognition.weights.items():
        same = published == here
        detail = f"{file}: sha256 {here}, as published" if same else f"{file}: expected sha256 {published}, got {here}"
        claims.append((f"weights {file}", "the weights are the published file", same, detail))
    return [
        GoldenRecord.of(Outcome(passed, detail), f"{entry.id}: {what}", claim, witness, time.perf_counter() - start)
        for what, claim, passed, detail in claims
    ]


def _running(golden: Golden) -> str:
    metadata = golden.metadata
    if metadata.cannot_run is not None:
        return "has no runner"
    return f"{metadata.model_class or 'tokenizer'}, {metadata.output}"
