"""The runners of goldens that belong to a checkpoint: inputs from their recipes, the model, what was printed of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.golden.checkpoints import embeddings as _registers_outputs
from trueband.golden.checkpoints.directory import Directory
from trueband.golden.checkpoints.inputs import encode
from trueband.golden.checkpoints.outputs import Printed, Run, printed_output
from trueband.golden.checkpoints.slices import parse_slice
from trueband.golden.judged import judge_published, printed
from trueband.golden.records import CannotRun, Outcome
from trueband.golden.registry import Context, runner
from trueband.golden.store import Golden
from trueband.properties.results.verdict import judge

assert _registers_outputs

FORM = "checkpoint"
GENERATED = "generated_tokens"


@runner("checkpoint", form=FORM)
def checkpoint_output(golden: Golden, context: Context) -> Outcome:
    """Judge an output of the model in the folder `context.options["directory"]`.

    The witness of the form "checkpoint" is called with the class's name, the inputs by the names of its arguments, and
    options of decoding or None; it returns the outputs by the Hub's names, {"sequences": ...} when it decodes.

    Raises:
        CannotRun: no folder is given, or it lacks what the golden needs.
    """
    metadata, directory = golden.metadata, directory_of(golden, context)
    if metadata.model_class is None:
        raise ValueError(f"{golden.id}: model_class: expected a class, got none")
    encoded = encode(metadata.inputs, directory)
    witness = context.witness(FORM)
    if metadata.output == GENERATED:
        sequences = witness(metadata.model_class, encoded.arrays, metadata.details["generate"])["sequences"]
        row = [directory.texts.named(int(token), "tokens") for token in sequences[0]]
        return judged(golden, Printed(texts=[token for token in row if token not in metadata.details["without"]]))
    fields = witness(metadata.model_class, encoded.arrays, None)
    return judged(golden, printed_output(metadata.output, Run(fields, encoded, directory, metadata.details)))


@runner("token_ids")
def token_ids(golden: Golden, context: Context) -> Outcome:
    """Ids of texts by the folder's tokenizer, each list as a text: "0 31414 232 328 2"."""
    directory = directory_of(golden, context)
    batch = directory.texts.batch(golden.metadata.inputs["input_ids"], directory.pad_token_id)
    rows = [row[real] for row, real in zip(batch.ids, batch.mask.astype(bool), strict=True)]
    return judge_published(golden, [" ".join(map(str, row)) for row in rows])


def directory_of(golden: Golden, context: Context) -> Directory:
    """The folder that the user named; CannotRun where none was."""
    directory: Any = context.options.get("directory")
    if directory is None:
        raise CannotRun(f"needs the checkpoint {golden.metadata.checkpoint}: trueband golden verify --checkpoint DIR")
    assert isinstance(directory, Directory)
    return directory


def judged(golden: Golden, value: Printed) -> Outcome:
    """Texts first, letter by letter, then numbers, within the tolerance that the golden carries."""
    metadata = golden.metadata
    if metadata.expected is not None:
        if value.texts is None:
            raise ValueError(f"{golden.id}: output: expected one that gives texts, got {metadata.output}")
        if len(value.texts) != len(metadata.expected):
            here, right = " ".join(value.texts), " ".join(metadata.expected)
            return Outcome(False, f"{len(value.texts)} texts instead of {len(metadata.expected)}", here, right)
        outcome = judge_published(golden, value.texts)
        if not outcome.passed or "expected" not in golden.arrays:
            return outcome
    if value.numbers is None:
        raise ValueError(f"{golden.id}: output: expected one that gives numbers, got {metadata.output}")
    taken, expected = parse_slice(metadata.slice).of(value.numbers), golden.expected
    if np.squeeze(taken).shape == np.squeeze(expected).shape:
        taken = taken.reshape(expected.shape)  # a batch of one may be printed without its axis
    return Outcome.of(judge(taken, expected, printed(golden), metadata.output))
