"""Checks of saving and loading, of tied weights, and of changes of the vocabulary."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from trueband.properties.checks.check import claim
from trueband.properties.models.case import HEADS, VOCABULARY, ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.checks.heads import with_head
from trueband.properties.models.head_inputs import head_inputs
from trueband.properties.models.head_taps import judge_head
from trueband.properties.models.reference_checkpoints import CONFIG, stored_arrays
from trueband.properties.models.taps import judge_all
from trueband.properties.results.verdict import Verdict, judge_exact

# Other names of tied weights, which a file may hold besides.
TIED = ("embed_tokens.weight", "lm_head.weight", "lm_head.decoder.weight", "lm_head.decoder.bias")


@model_check(
    "the file of a saved model holds its weights, bit for bit; the model loaded from it has them and uses them",
    about="checkpoints",
)
def check_round_trip(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: what is stored, and what is read from it. Bounded: what the loaded model gives, as its weights may lie at
    other addresses."""
    case, candidate = probe.case, probe.candidate
    heads = HEADS[case.architecture]
    head = heads[case.seed % len(heads)]
    if head != "lm":
        case = with_head(case, head)
    inputs = case.inputs if head == "lm" else head_inputs(case)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        probe.attempt(lambda: candidate.save(case.model, directory))
        yield from _files(case, directory)
        loaded = probe.attempt(lambda: candidate.load(case.architecture, head, inputs, directory))
    state = loaded.pop("state")
    for name, array in case.state.items():
        yield judge_exact(state[name], array, f"{name} of the loaded model")
    read = {name: array.reshape(case.batch, -1) for name, array in inputs.items()} if head == "choice" else inputs
    yield from judge_head(case, read, probe.other(lambda: loaded))


@model_check("words that are overwritten in place are read everywhere, the tied output included", about="checkpoints")
def check_tied_words(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: every tap is judged by the reference on the new words, which lie where the old ones lay."""
    case, candidate = probe.case, probe.candidate
    name = case.family.word_embeddings
    words = np.roll(case.state[name], 1, axis=0)
    edited = probe.other(lambda: candidate.edited(case.model, words, case.inputs))
    yield from judge_all(case, case.inputs, edited, case.state | {name: words})


@model_check(
    "a vocabulary of another size keeps the old words and their bias; new words have bias 0",
    ("led",),
    about="checkpoints",
)
def check_resized_vocabulary(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: words and bias, which are copied. Bounded: what is computed with them."""
    case, candidate = probe.case, probe.candidate
    least = 1 + max(int(case.inputs[name].max()) for name in ("input_ids", "decoder_input_ids"))
    size = int(probe.random.integers(least, VOCABULARY + 9))
    output = probe.other(lambda: candidate.resized(case.model, size, case.inputs))
    kept = min(size, VOCABULARY)
    words, bias = output["words"], output["bias"]
    shapes = (words.shape, bias.shape)
    expected = ((size, case.size), (1, size))
    yield claim(shapes == expected, f"shapes of words and bias: expected {expected}, got {shapes}")
    yield judge_exact(words[:kept], case.words[:kept], f"old words after a change to {size}")
    old = np.pad(case.state["final_logits_bias"][:, :kept], ((0, 0), (0, size - kept)))
    yield judge_exact(bias, old, f"bias after a change to {size}")
    yield from judge_all(
        case, case.inputs, output, case.state | {case.family.word_embeddings: words, "final_logits_bias": bias}
    )


def _files(case: ModelCase, directory: Path) -> Iterator[Verdict]:
    """Judge that config.json has the configuration, and model.safetensors every weight in the model's dtype."""
    arrays = stored_arrays(directory)
    missing = sorted(set(case.state) - set(arrays))
    other = [name for name in arrays if name not in case.state and not name.endswith(TIED)]
    yield claim(
        not missing and not other,
        f"tensors of the file: expected those of the model, got {missing} missing and {other} in addition",
    )
    dtypes = {str(array.dtype) for array in arrays.values()}
    yield claim(dtypes == {case.dtype}, f"dtypes of the file: expected {case.dtype}, got {sorted(dtypes)}")
    for name, array in case.state.items():
        yield judge_exact(arrays[name], array, f"{name} in the file")
    values = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    same = replace(case.model, config=values).settings == case.model.settings
    right = same and values.get("model_type") == case.architecture
    yield claim(right, "config.json: expected the model's configuration, got another")
