"""Writes golden/store-data/published/ from the gathered numbers: outputs of trained weights that two wheels hold, of
weights that are small enough to stand in the golden, and of no weights at all.

    python tools/write_published.py FOLDER_OF_NUMBERS golden/store-data

FOLDER_OF_NUMBERS holds outputs-reproduced.json, outputs-by-checkpoint.json and longformer_random_tiny_layer0.json. The
same numbers give the same bytes again; `git diff` shows what a change of the numbers or of this file does.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trueband import __version__
from trueband.golden.store import Golden, Metadata, Source, Tolerance, write_golden
from trueband.golden.store.digest import inputs_sha256
from trueband.golden.store.store import write_index
from trueband.golden.weights.sapiens import RESIDUES
from trueband.golden.weights.wheels import BART_G2P, SAPIENS

LINKED = {"SAPIENS": {"checkpoint_vh.pt": SAPIENS.sha256["checkpoint_vh.pt"]}, "BART": BART_G2P.sha256}
MIT = "MIT (Merck/Sapiens)"
NUMBERS = "not stated; numbers and words only"
APACHE = "Apache-2.0 (huggingface/transformers); numbers only"
LED = {"to": "led", "attention_window": 64, "max_positions": 128}
FLOAT32 = "the tolerance is for float32, of their run and of ours"


def golden(name: str, arrays: dict[str, Any] | None = None, **told: Any) -> Golden:
    """A golden; what most of them share is filled in."""
    held = {key: np.asarray(array) for key, array in (arrays or {}).items()}
    inputs = {key: array for key, array in held.items() if key.startswith("input.")}
    digest = inputs_sha256(told["inputs"], inputs)
    shared = {"kind": "published", "dtype": "float32", "generator": f"trueband {__version__}"}
    return Golden(Metadata(**{**shared, "id": name, "inputs_sha256": digest, **told}), held)


def of_sapiens(numbers: dict[str, Any]) -> Iterator[Golden]:
    """A trained RoBERTa, and the same weights as a Longformer and as the encoder of an LED."""
    commits = {"fairseq_2022": "48b4a3b320d19aad67823d6665619e79614146e1", "hf_2025": "2dad5dc"}
    sources = {run: Source("Merck Sharp & Dohme", "Merck/Sapiens", "notebooks", commits[run]) for run in commits}
    shared: dict[str, Any] = {
        "checkpoint": "sapiens_vh",
        "model_class": "RobertaForMaskedLM",
        "license": MIT,
        "weights_sha256": LINKED["SAPIENS"],
        "source": sources["fairseq_2022"],
    }
    text = numbers["embedding"]["seq"]
    digits = Tolerance(2e-6, 0.0, f"printed with 9 digits by float32 runs: {FLOAT32}")
    of_text: dict[str, Any] = shared | {
        "run": "sapiens_embedding",
        "output": "last_hidden_state",
        "slice": "[0, residues].mean(0)",
        "tolerance": digits,
    }
    for run, source in sources.items():
        yield golden(
            f"sapiens_embedding_{run}",
            {"expected": numbers["embedding"][run]},
            **of_text | {"source": source},
            claim=f"the sequence embedding is that of the author's {run} run",
            inputs={"residues": text},
        )
    expected = {"expected": numbers["embedding"]["fairseq_2022"]}
    same = of_text | {"kind": "derived", "details": {"of": "sapiens_embedding_fairseq_2022"}}
    yield golden(
        "sapiens_padding",
        expected,
        **same,
        inputs={"residues": text, "pads_after": 9},
        claim="nine pads behind the sequence leave its published embedding as it is",
    )
    longformer = {"to": "longformer", "max_positions": 512}
    for window, label, flags, pads in (
        (256, "no_globals", [], 0),
        (256, "first_global", [0], 0),
        (256, "all_global", "all", 0),
        (256, "two_globals_padded", [0, 60], 7),
        (64, "all_global", "all", 0),
        (64, "all_global_padded", "all", 7),
    ):
        said = f"two-sided window {window}, {label.replace('_', ' ')}: the published embedding of the RoBERTa"
        yield golden(
            f"longformer_window_{window}_{label}",
            expected,
            **same,
            claim=said,
            conversion=longformer | {"attention_window": window},
            inputs={"residues": text, "pads_after": pads, "global_tokens": flags},
        )
    yield golden(
        "longformer_tiled_positions",
        expected,
        **same,
        conversion=longformer | {"attention_window": 256},
        inputs={"residues": text, "masked_before": 144, "global_tokens": []},
        claim="behind 144 masked residues the text has the tiled positions, and its published embedding",
    )
    for window, off_by in ((128, 0.083), (64, 0.159)):
        yield golden(
            f"longformer_window_{window}_must_miss",
            {"expected": [off_by], "published": expected["expected"]},
            **same
            | {
                "run": "sapiens_distance",
                "slice": None,
                "output": "distance from the published embedding",
                "tolerance": Tolerance(5e-4, 0.0, "recorded with 3 decimals"),
                "source": Source("trueband"),
                "license": "Apache-2.0",
            },
            conversion=longformer | {"attention_window": window},
            inputs={"residues": text, "global_tokens": []},
            claim=f"two-sided window {window}, no globals: off the published embedding by the recorded distance",
            note="A window below the length: no published number exists, and the published one must be missed.",
        )
    for window, label, flags in ((256, "no_globals", []), (256, "two_globals", [0, 60]), (64, "all_global", "all")):
        said = f"LED encoder of a RoBERTa, two-sided window {window}, {label.replace('_', ' ')}: its embedding"
        yield golden(
            f"sapiens_led_window_{window}_{label}",
            expected,
            **same | {"run": "sapiens_led_embedding"},
            claim=said,
            conversion={"to": "led", "max_positions": 512, "attention_window": window},
            inputs={"residues": text, "global_tokens": flags},
        )
    yield from of_sapiens_head(numbers, shared, sources["hf_2025"])


def of_sapiens_head(numbers: dict[str, Any], shared: dict[str, Any], later: Source) -> Iterator[Golden]:
    """Probabilities, infilled sequences and an accuracy."""
    tolerance = Tolerance(1.1e-6, 0.0, f"printed with 6 decimals, half a unit is 5e-7; the rest: {FLOAT32}")
    for row, printed in numbers["scores"]["mask_rows"].items():
        yield golden(
            f"sapiens_scores_row_{row}",
            {"expected": [printed[residue] for residue in RESIDUES]},
            **shared,
            run="sapiens_probabilities",
            inputs={"residues": numbers["scores"]["seq"], "star": "<mask>"},
            output="softmax of logits",
            slice=f"[0, residue {row}, {RESIDUES}]",
            tolerance=tolerance,
            claim=f"20 published probabilities of residue {row}",
            details={"residue": int(row)},
        )
    for case, entry in enumerate(numbers["infill"], 1):
        for kind, filled in entry.items():
            if kind == "seq":
                continue
            unknown = kind.endswith("_unk")
            yield golden(
                f"sapiens_infill_{case}_{kind}",
                **shared | ({"source": later} if unknown else {}),
                run="sapiens_infill",
                expected=[filled],
                inputs={"residues": entry["seq"], "star": "<unk>" if unknown else "<mask>"},
                output="best residues",
                slice="everywhere" if kind.startswith("best") else "where the text has *",
                claim=f"the sequence predicted for text {case} is the published one ({kind})",
                details={"everywhere": kind.startswith("best")},
            )
    yield golden(
        "sapiens_accuracy",
        {"expected": [numbers["single_mask_infill_accuracy"]["value"]]},
        **shared,
        run="sapiens_accuracy",
        inputs={"residues": numbers["embedding"]["seq"]},
        output="share of residues found",
        claim="masking each residue in turn, exactly 74 of 119 are found again",
    )


def of_bart(numbers: dict[str, Any]) -> Iterator[Golden]:
    """A trained BART that spells words, as an LED."""
    fixtures = "Packages/ClawdyVoice/Tests/ClawdyVoiceTests/Fixtures"
    shared: dict[str, Any] = {
        "checkpoint": "bart_g2p_us",
        "model_class": "BartForConditionalGeneration",
        "license": NUMBERS,
        "weights_sha256": LINKED["BART"],
        "revision": "a5631b285d18d59483c32c0c3379cb9fac924f4b",
        "conversion": LED,
    }

    def source(file: str) -> Source:
        return Source("tomkit", "tomkit/getclawdy", f"{fixtures}/{file}", "ff43fc39fb71f8ed65d5d30ee961c7a2297ec515")

    word = numbers["numeric"]["word"]
    for name, output, where, said, tolerance in (
        (
            "encoder_row0",
            "encoder_last_hidden_state",
            "[0, 0]",
            "the 128 published numbers of the first token",
            Tolerance(2e-6, 0.0, f"printed to float32 precision by a float32 run: {FLOAT32}"),
        ),
        (
            "first_logits",
            "logits",
            "[0, 0]",
            "the 63 published logits",
            Tolerance(
                1e-4,
                0.0,
                "printed to float32 precision by a float32 run; logits reach 28, where a unit in the "
                f"last place is 2e-6, and sum 128 products: {FLOAT32}",
            ),
        ),
    ):
        for label, flags in (("no_globals", []), ("first_global", [0]), ("all_global", "all")):
            first = f"bart_g2p_{name}"
            derived = {"kind": "derived", "details": {"of": first}} if flags else {}
            yield golden(
                f"bart_led_{name}_{label}" if flags else first,
                {"expected": numbers["numeric"][name]},
                **shared | derived,
                run="bart_output",
                output=output,
                slice=where,
                tolerance=tolerance,
                source=source("bart-numeric-reference.json"),
                inputs={"word": word, "global_tokens": flags},
                claim=f"LED of a BART, {label.replace('_', ' ')}: {said}",
            )
    told = shared | {"run": "bart_words", "output": "phonemes, greedily", "source": source("bart-reference.tsv")}
    for word, spoken in numbers["greedy_a"].items():
        yield golden(
            f"bart_g2p_word_{word}",
            **told,
            expected=[spoken],
            inputs={"words": [word], "global_tokens": []},
            claim=f"LED of a BART, no globals: the published phonemes of {word!r}, letter by letter",
        )
    words = numbers["greedy_a"]
    yield golden(
        "bart_led_words_all_global",
        **told | {"kind": "derived"},
        expected=list(words.values()),
        inputs={"words": list(words), "global_tokens": "all"},
        details={"of": [f"bart_g2p_word_{w}" for w in words]},
        claim="LED of a BART, all global: each of 25 published words, letter by letter",
    )


def of_entries(entries: Sequence[dict[str, Any]], layer: dict[str, Any]) -> Iterator[Golden]:
    """What needs no download: one layer with its weights in the golden, and position ids."""
    for entry in entries:
        if not entry["self_contained"]:
            continue
        shared: dict[str, Any] = {
            "checkpoint": None,
            "model_class": entry["model_class"],
            "license": APACHE,
            "source": Source("Hugging Face", *(entry[f"source_{part}"] for part in ("repo", "path", "commit"))),
            "output": entry["output"],
            "slice": entry["slice"],
            "dtype": entry["dtype"],
            "note": entry["note"],
            "also_in": entry["also_in"],
        }
        if entry["id"].startswith("lf_tiny"):
            yield from of_the_layer(entry, layer, shared)
        elif entry["id"].startswith("xlmr"):
            yield golden(
                entry["id"],
                {"expected": entry["expected"]},
                **shared,
                run="position_ids",
                inputs=entry["inputs"],
                claim=f"position ids are the published ones ({entry['model_class']})",
            )
        elif entry["id"] == "lf_mask_invalid_counts":
            cases = [{"window": w, "tokens": 3, "heads": h} for w, h in ((1, 4), (2, 4), (2, 4), (2, 2))]
            yield golden(
                entry["id"],
                {"expected": entry["expected"]},
                **shared,
                run="band_slots",
                inputs={"cases": cases},
                claim="as many places of the band lie outside of a text of 3 tokens as published",
            )
        else:
            yield golden(
                entry["id"],
                {
                    "expected": [number for row in entry["expected"] for number in row],
                    "input.hidden_states": entry["inputs"]["hidden_states"],
                },
                **shared,
                run="none",
                inputs={"hidden_states": {"tensor": "input.hidden_states"}},
                tolerance=Tolerance(5e-5, 0.0, "printed with 4 decimals"),
                claim="the overlapping chunks of a text",
                cannot_run="it tests a private helper of its publisher that copies rows of its input; nothing here "
                "returns chunks",
            )


def of_the_layer(entry: dict[str, Any], layer: dict[str, Any], shared: dict[str, Any]) -> Iterator[Golden]:
    """Layer 0 of a published Longformer, its weights in the golden."""
    name = entry["id"]
    arrays = {f"weight.{part}": layer[part] for part in ("weight", "global_weight", "bias", "global_bias")}
    arrays |= {"input.hidden_states": layer["hf_test_hidden_states"]}
    arrays["input.attention_mask_additive"] = np.array(entry["inputs"]["attention_mask_additive"], dtype=np.float64)
    if "hidden" in entry["inputs"]:  # the second row of the batch
        first = np.array(layer["hf_test_hidden_states"])
        arrays["input.hidden_states"] = np.concatenate([first, first - 0.5])
    told: dict[str, Any] = shared | {
        "license": "numbers: Apache-2.0 (huggingface/transformers); weights: MIT, Copyright (c) Microsoft Corporation",
        "inputs": {part: {"tensor": f"input.{part}"} for part in ("hidden_states", "attention_mask_additive")},
        "details": {"heads": layer["num_heads"], "window": layer["one_sided_window"], "weights_from": layer["source"]},
        "tolerance": Tolerance(5e-5, 0.0, "printed with 4 decimals"),
    }
    rows = {"layer_local": [0, 1], "layer_global_a": [0, 2], "layer_global_b": [1, 2]}
    kind = name.removeprefix("lf_tiny_")
    if kind in rows:
        told = told | {"run": "tiny_layer", "details": told["details"] | {"row": rows[kind]}}
        said = f"the published output row {rows[kind]} of the layer, in its digits"
        yield golden(name, arrays | {"expected": entry["expected"]}, **told, claim=said)
        printed = re.findall(r"-?0\.\d+", entry["note"].partition("igits")[2])
        units = [float(f"0.5e-{len(number.partition('.')[2])}") for number in printed]
        more = entry["also_in"][0]
        yield golden(
            f"{name}_more_digits",
            arrays | {"expected": [float(number) for number in printed], "tolerance": units},
            **told
            | {
                "tolerance": None,
                "also_in": [],
                "note": "Each number with as many digits as it shows.",
                "source": Source("Hugging Face", more["repo"], more["path"], more["commit"]),
            },
            claim=f"output row {rows[kind]} as printed with up to 6 decimals",
        )
    elif kind == "attn_probs_zero_rows":
        said = "local probabilities of global and of masked rows: exactly 0"
        told = told | {"run": "tiny_zero_rows", "tolerance": None}
        yield golden(name, arrays | {"expected": np.zeros(80)}, **told, claim=said)
    else:
        runs = {"local": "tiny_local_probabilities", "globa": "tiny_global_probabilities"}
        told = told | {"run": runs[kind.removeprefix("attn_probs_")[:5]]}
        place = [int(number) for number in re.findall(r"\d+", entry["slice"])]
        told["details"] = told["details"] | {"at": place}
        said = f"the published probabilities {entry['slice']}, in their digits"
        if kind.endswith("filler"):
            said = "the filler of missing global slots: published as 1/4, 0 by the contract, so it must be missed"
            told |= {"kind": "superseded", "note": "a quirk of the publisher that the contract does not follow"}
        yield golden(name, arrays | {"expected": entry["expected"]}, **told, claim=said)


def main(numbers: Path, store: Path) -> None:
    reproduced, entries, layer = (
        json.loads((numbers / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("outputs-reproduced", "outputs-by-checkpoint", "longformer_random_tiny_layer0")
    )
    goldens = [
        *of_sapiens(reproduced["sapiens_vh"]),
        *of_bart(reproduced["bart_g2p_us"]),
        *of_entries(entries, layer),
    ]
    for each in goldens:
        write_golden(store / "published" / f"{each.id}.safetensors", each)
    write_index(store)
    print(f"{len(goldens)} goldens in {store / 'published'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
