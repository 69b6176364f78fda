"""Records the layer taps of the two trained checkpoints that pip can fetch, into golden/store-data/taps/.

    python tools/record_taps.py [--why TEXT]

Float64, from the reference alone. Texts are real and aperiodic, padded, with other global tokens in each row; windows
are far below their lengths. Weights are not stored: the goldens name the wheel, and the sha256 of the file in it.
A golden that is there already is replaced only with a reason, which it keeps.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trueband import __version__
from trueband.golden.at_hand import AT_HAND, CONVERSIONS
from trueband.golden.recordings.inputs import check_inputs
from trueband.golden.recordings.model import described
from trueband.golden.recordings.recording import RUN, recipe_of, taps_of
from trueband.golden.recordings.reference import natural_states
from trueband.golden.recordings.rows import selected_rows
from trueband.golden.store import Golden, Metadata, Source, open_store, read_golden, write_golden
from trueband.golden.store.store import FOLDER, write_index
from trueband.golden.weights.bart_g2p import END, START, UNKNOWN, decode_phonemes, encode_word
from trueband.golden.weights.bart_g2p import PAD as BART_PAD
from trueband.golden.weights.fairseq import Checkpoint
from trueband.golden.weights.sapiens import PAD, encode
from trueband.golden.weights.wheels import BART_G2P, SAPIENS

ROWS = 12  # of each text
LICENSE = "Apache-2.0; numbers computed here from weights under {}"


class Case(NamedTuple):
    """What to record: inputs are rows of ids; positions of global tokens for each row."""

    claim: str
    checkpoint: str
    kind: str
    windows: tuple[int, ...]
    positions: int
    texts: list[list[int]]
    global_: list[list[int]] | None
    decoder: list[list[int]] | None = None


ANTIBODIES = (  # published with Sapiens
    "QVKLQESGAELARPGASVKLSCKASGYTFTNYWMQWVKQRPGQGLDWIGAIYPGDGNTRYTHKFKGKATLTADKSSSTAYMQLSSLASEDSGVYYCARGEGNYAWFAYWGQGTTVTVSS",
    "QVLQVESGVEVKKPGASVKVSCKASGYTFTNYYMYWVRQAPGQGLEWMGGINPSNGGTNFNEKFKNRVTLTTDSSTTTAYMELKSLQFDDTAVYYCARRDY*****FDYWGQGTTVTVSS",
)
WORDS = ("anthropic", "onnxruntime", "szymanski")  # published with the BART
MODEL_TYPES = {None: "xlm-roberta", "longformer": "longformer", "led": "led"}


def sapiens_texts(*cut: int) -> list[list[int]]:
    """The sequences, each cut to so many tokens."""
    return [encode(text)[0, :count].tolist() for text, count in zip(ANTIBODIES, cut, strict=False)]


def spoken(word: str) -> list[int]:
    """Ids of a word's published phonemes, as the decoder reads them."""
    told = open_store().golden(f"bart_g2p_word_{word}").metadata.expected
    letters = (told or [""])[0]
    ids = (next(i for i in itertools.count(UNKNOWN + 1) if decode_phonemes([i]) == letter) for letter in letters)
    return [START, *ids, END]


def checkpoint_of(case: Case) -> Checkpoint:
    """Converted, with a window for each layer."""
    config, state = AT_HAND[case.checkpoint]()
    kind = None
    if case.windows:
        kind = case.kind
        config, state = CONVERSIONS[case.checkpoint, kind](Checkpoint(config, state), case.windows[0], case.positions)
        config = config | {"attention_window": list(case.windows)}
    return Checkpoint(config | {"model_type": MODEL_TYPES[kind]}, state)


def cases() -> dict[str, Case]:
    return {
        "taps_sapiens_roberta": Case(
            "every layer of a trained RoBERTa, two antibodies, one padded",
            "sapiens_vh",
            "",
            (),
            0,
            sapiens_texts(90, 61),
            None,
        ),
        "taps_sapiens_longformer": Case(
            "the same weights as a Longformer, two-sided windows 64, 32, 16, 8, ragged global tokens, padding",
            "sapiens_vh",
            "longformer",
            (64, 32, 16, 8),
            512,
            sapiens_texts(75, 52),
            [[0, 60], [0, 7, 33]],
        ),
        "taps_sapiens_longformer_narrow": Case(
            "the same weights as a Longformer, two-sided windows 2, 6, 4, 10, no global token",
            "sapiens_vh",
            "longformer",
            (2, 6, 4, 10),
            512,
            sapiens_texts(121),
            None,
        ),
        "taps_sapiens_led": Case(
            "the same weights as the encoder of an LED, two-sided windows 8, 64, 16, 32, ragged global tokens, padding",
            "sapiens_vh",
            "led",
            (8, 64, 16, 32),
            512,
            sapiens_texts(75, 52),
            [[0, 74], [1, 40, 41]],
            [[2], [2]],
        ),
        "taps_bart_led": Case(
            "encoder and decoder of a trained BART as an LED, two-sided window 4, three words, ragged global tokens, "
            "padding on both sides",
            "bart_g2p_us",
            "led",
            (4,),
            128,
            [encode_word(word)[0].tolist() for word in WORDS],
            [[0], [], [0, 5]],
            [spoken(word) for word in WORDS],
        ),
    }


def padded(rows: list[list[int]], pad: int) -> np.ndarray:
    longest = max(map(len, rows))
    return np.array([[*row, *[pad] * (longest - len(row))] for row in rows])


def inputs_of(case: Case) -> dict[str, np.ndarray]:
    pad = BART_PAD if case.checkpoint == "bart_g2p_us" else PAD
    ids = padded(case.texts, pad)
    inputs = {"input_ids": ids, "attention_mask": padded([[1] * len(row) for row in case.texts], 0)}
    if case.windows:
        flags = np.zeros_like(ids)
        for row, positions in zip(flags, case.global_ or [[]] * len(ids), strict=True):
            row[positions] = 1
        inputs["global_attention_mask"] = flags
    if case.decoder is not None:
        inputs["decoder_input_ids"] = padded(case.decoder, pad)
        inputs["decoder_attention_mask"] = padded([[1] * len(row) for row in case.decoder], 0)
    return inputs


def record(name: str, case: Case, why: list[str]) -> Golden:
    config, state = checkpoint_of(case)
    model = described(config, state)
    inputs = check_inputs(model, inputs_of(case))
    real, flags = inputs["attention_mask"] == 1, inputs.get("global_attention_mask")
    windows = tuple(window // 2 for window in case.windows)
    # The windows of the layers differ: the configuration among the details has them.
    conversion = None
    if case.windows:
        conversion = {"to": case.kind, "attention_window": case.windows[0], "max_positions": case.positions}
    flagged = None if flags is None else flags == 1
    rows = {"rows": selected_rows(real.shape[1], windows, real, flagged, ROWS)}
    if "decoder_input_ids" in inputs:
        target = inputs["decoder_attention_mask"] == 1
        rows["decoder_rows"] = selected_rows(target.shape[1], (), target, None, ROWS)
    arrays = taps_of(model, inputs, natural_states(model, inputs), rows, "float32")
    taps = [key.removeprefix("tap.") for key in arrays if key.startswith("tap.")]
    recipe, sha256 = recipe_of(inputs)
    sapiens = case.checkpoint == "sapiens_vh"
    wheel = SAPIENS if sapiens else BART_G2P
    weights = {name: sha for name, sha in wheel.sha256.items() if name.endswith((".npz", "_vh.pt"))}
    return Golden(
        Metadata(
            id=name,
            kind="taps",
            claim=case.claim,
            checkpoint=case.checkpoint,
            run=RUN,
            model_class=model.model_class,
            inputs=recipe,
            output="taps",
            dtype="float64",
            source=Source("trueband, from its reference"),
            license=LICENSE.format("MIT" if sapiens else "Apache-2.0"),
            generator=f"trueband {__version__}",
            inputs_sha256=sha256,
            conversion=conversion,
            revision=wheel.requirement,
            weights_sha256=weights,
            why=why,
            note="tools/record_taps.py wrote it",
            details={"config": config, "taps": taps, "weights": "float32"},
        ),
        arrays,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--why", help="reason to replace the goldens that are there")
    reason = parser.parse_args().why
    folder = Path(FOLDER) / "taps"
    made = {name: folder / f"{name}.safetensors" for name in cases()}
    there = [path for path in made.values() if path.exists()]
    if there and reason is None:
        raise SystemExit(f"--why: expected a reason to replace {there[0].name}, got none")
    for name, case in cases().items():
        before = read_golden(made[name]).metadata.why if made[name] in there else []
        golden = record(name, case, [*before, *([reason] if before or made[name] in there else [])])
        write_golden(made[name], golden)
        print(name, made[name].stat().st_size)
    write_index(Path(FOLDER))


if __name__ == "__main__":
    main()
