"""Writes golden/store-data/checkpoints/ from lists of published outputs, and checks that the lists agree.

    python tools/import_published.py outputs-by-checkpoint.json outputs-need-checkpoint.json \
        outputs-reproduced.json torchtext_*.npy --out golden/store-data/checkpoints

No test does this. Entries that need no checkpoint (`self_contained`) are left out: others write those.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from published_tokens import token_goldens

from trueband import __version__
from trueband.golden.store import Golden, Metadata, Source, Tolerance, write_golden
from trueband.golden.store.digest import inputs_sha256

# What a list says in words, said in the store's terms: for each entry of the first list, by its id, changes to what is
# read here; for each of the second, by position, the ids whose numbers it repeats, and new goldens.
SAID = json.loads(Path(__file__).with_name("published_plans.json").read_text(encoding="utf-8"))
PLANS, NEEDED, PUBLISHERS, LICENSES = (
    SAID[part] for part in ("by_checkpoint", "need_checkpoint", "publishers", "licenses")
)
STATED = "stated by the publisher's test"
RENAMED = {
    "token_ids": "input_ids",
    "padding_mask": "attention_mask",
    "encoder_token_ids": "input_ids",
    "encoder_padding_mask": "attention_mask",
    "decoder_token_ids": "decoder_input_ids",
    "decoder_padding_mask": "decoder_attention_mask",
}
ARGUMENTS = {
    "input_ids",
    "attention_mask",
    "global_attention_mask",
    "decoder_input_ids",
    "decoder_attention_mask",
    "labels",
    "token_type_ids",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    named = {path.name: path for path in options.files}
    by_checkpoint = json.loads(named["outputs-by-checkpoint.json"].read_text(encoding="utf-8"))
    needed = json.loads(named["outputs-need-checkpoint.json"].read_text(encoding="utf-8"))
    tensors = {path.name: np.load(path) for path in options.files if path.suffix == ".npy"}
    repeated = agree(by_checkpoint, needed)
    goldens = [of_first_list(entry, tensors, repeated) for entry in by_checkpoint if not entry["self_contained"]]
    for entry, plan in zip(needed, NEEDED, strict=True):
        goldens += [of_second_list(name, each, entry) for name, each in plan["goldens"].items()]
    goldens += token_goldens(json.loads(named["outputs-reproduced.json"].read_text(encoding="utf-8")), __version__)
    for golden in goldens:
        write_golden(options.out / f"{golden.id}.safetensors", golden)
    print(f"{len(goldens)} goldens in {options.out}; {sum(map(len, repeated.values()))} entries are in both lists")


def agree(by_checkpoint: list[Any], needed: list[Any]) -> dict[str, list[Any]]:
    """id -> entries of the second list that repeat its numbers.

    Raises:
        ValueError: an entry without a plan, or numbers that are not the same in both lists.
    """
    if len(NEEDED) != len(needed):
        raise ValueError(f"needed: expected {len(NEEDED)} entries, got {len(needed)}")
    known = {entry["id"]: entry for entry in by_checkpoint}
    repeated: dict[str, list[Any]] = {}
    for entry, plan in zip(needed, NEEDED, strict=True):
        here = set(numbers(entry["values"]) + numbers(entry["checkpoint"]))
        for name in plan["repeats"]:
            missing = [value for value in numbers(known[name]["expected"]) if value not in here]
            if missing:
                raise ValueError(f"{name}: expected its numbers in both lists, got no {missing} in {entry['src']}")
            repeated.setdefault(name, []).append({"printed_again": entry["src"], "tolerance": entry.get("tol")})
    return repeated


def numbers(content: Any) -> list[float]:
    """All numbers of a value, those in texts too, in order."""
    if isinstance(content, bool) or content is None:
        return []
    if isinstance(content, int | float):
        return [float(content)]
    if isinstance(content, str):
        return [float(found) for found in re.findall(r"-?\d+\.\d+", content)]
    parts = content.values() if isinstance(content, Mapping) else content
    return [number for part in parts for number in numbers(part)]


def of_first_list(entry: Mapping[str, Any], tensors: Mapping[str, Any], repeated: Mapping[str, list[Any]]) -> Golden:
    """One golden of outputs-by-checkpoint.json."""
    name, plan = entry["id"], PLANS[entry["id"]]
    expected, texts = expected_of(entry, plan, tensors)
    inputs = plan["inputs"] if "inputs" in plan else inputs_of(entry, plan)
    details = dict(plan.get("details", {}))
    if plan.get("spans"):
        details = {"longest": 15, "contexts": [pair[1] for pair in entry["inputs"]["qa"]]}
    repository = entry["source_repo"]
    return make(
        name,
        plan,
        expected,
        texts,
        inputs,
        details,
        kind=entry["kind"],
        claim=f"{entry['output']} {entry['slice']} of {entry['checkpoint']}",
        checkpoint=plan.get("checkpoint", entry["checkpoint"]),
        model_class=plan.get("model_class", entry["model_class"]),
        output=plan.get("output", re.sub(r" \(.*\)$", "", entry["output"])),
        slice=plan.get("slice", entry["slice"]),
        tolerance=tolerance_of(entry, plan),
        dtype=entry["dtype"],
        source=Source(PUBLISHERS[repository], repository, entry["source_path"], entry["source_commit"]),
        license=LICENSES[repository],
        also_in=[*entry["also_in"], *repeated.get(name, [])],
        note=" ".join(filter(None, [entry["note"], plan.get("more_note")])),
    )


def make(
    name: str, plan: Mapping[str, Any], expected: Any, texts: list[str] | None, inputs: Any, details: Any, **told: Any
) -> Golden:
    if told["slice"] in ("[:]", "scalar") or (told["slice"] or "")[:1] not in ("[", "."):
        told["slice"] = None
    metadata = Metadata(
        id=name,
        run=plan.get("run", "checkpoint"),
        inputs=inputs,
        expected=texts,
        details=details,
        conversion=plan.get("conversion"),
        cannot_run=plan.get("cannot_run"),
        generator=f"trueband {__version__}",
        inputs_sha256=inputs_sha256(inputs, {}),
        **told,
    )
    return Golden(metadata, {} if expected is None else {"expected": np.asarray(expected)})


def inputs_of(entry: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """The list's inputs under the names of the model's arguments, in the forms of the recipes."""
    given = entry["inputs"]
    if "texts" in plan:
        return text_inputs(given, plan["texts"])
    if "qa" in given:
        return {"input_ids": {"pairs": given["qa"]}, "attention_mask": "tokenizer"}
    inputs = {}
    for key, value in given.items():
        name = RENAMED.get(key, key)
        if name not in ARGUMENTS or value is None:
            continue
        if isinstance(value, str) and value.startswith("default"):
            continue
        if isinstance(value, str):
            value = "input_ids" if value.startswith("same as") else "ones"
        if name == "attention_mask" and isinstance(value, list) and isinstance(value[0], str):
            value = "ones"
        inputs[name] = [value] if plan.get("choices") else value
    if "input_ids" not in inputs:
        inputs["input_ids"] = {"texts": [given["text"]]}
    return inputs


def text_inputs(given: Mapping[str, Any], form: str) -> dict[str, Any]:
    documents = given.get("documents", given.get("docs"))
    if form == "pairs":
        pairs = (
            given["pairs"] if isinstance(given.get("pairs"), list) else [[given["query"], each] for each in documents]
        )
        recipe: dict[str, Any] = {"pairs": pairs}
    elif form == "query":
        prompts = ["query", *["document"] * len(documents)]
        recipe = {"texts": [given["query"], *documents], "prompts": prompts}
    elif form == "both":
        recipe = {"texts": given["sentences_1"] + given["sentences_2"]}
    else:
        recipe = {"texts": given["texts"]}
    return {"input_ids": recipe, "attention_mask": "tokenizer"}


def expected_of(
    entry: Mapping[str, Any], plan: Mapping[str, Any], tensors: Mapping[str, Any]
) -> tuple[Any, list[str] | None]:
    """Numbers and texts of an entry of the first list."""
    given = entry["expected"]
    if plan.get("tensor"):
        array = tensors[Path(given["file"]).name]
        if not np.array_equal(array.flat[:5], np.array(given["first5"], dtype=np.float32)):
            raise ValueError(f"{entry['id']}: expected a tensor that starts with {given['first5']}, got another")
        return array, None
    if plan.get("expected_texts"):
        return None, given
    if plan.get("id_lists"):
        return None, [" ".join(map(str, row)) for row in given]
    if "expected_key" in plan:
        return np.array([[given[plan["expected_key"]]]]), [given[plan["texts_key"]]]
    if plan.get("spans"):
        return np.array([each["score"] for each in given]), [each["answer"].strip() for each in given]
    if plan.get("entities"):
        return np.array([score for *_, score in given]), [f"{word} {label}" for word, label, _ in given]
    if plan.get("ranked"):
        return np.array([[p for _, p in row] for row in given]), [word for row in given for word, _ in row]
    if plan.get("prediction"):
        quoted = re.findall(r"'([^']*)'", given[0]) or [given[0]]
        return np.array([given[1]]), quoted
    return np.array(given, dtype=np.float64), None


def tolerance_of(entry: Mapping[str, Any], plan: Mapping[str, Any]) -> Tolerance | None:
    """What the publisher states, else what the plan says; None for texts and counts, which must be met exactly."""
    if "tolerance" in plan:
        return Tolerance(*plan["tolerance"])
    absolute, relative = entry["atol"] or 0.0, entry["rtol"] or 0.0
    if not absolute and not relative:
        return None
    return Tolerance(absolute, relative, plan.get("why", STATED))


def of_second_list(name: str, plan: Mapping[str, Any], entry: Mapping[str, Any]) -> Golden:
    """One golden of outputs-need-checkpoint.json."""
    expected, texts = needed_values(plan, entry)
    inputs = plan.get("inputs", {})
    if plan.get("ids"):
        inputs = {"input_ids": entry["input"]}
    elif plan.get("sentences"):
        inputs = {"input_ids": {"texts": entry["input"]}, "attention_mask": "tokenizer"}
    source, tolerance = dict(plan["source"]), plan.get("tolerance")
    commit = plan.get("commit", source.get("commit"))
    repository = source["repository"]
    return make(
        name,
        plan,
        expected,
        texts,
        inputs,
        dict(plan.get("details", {})),
        kind=plan.get("kind", "published"),
        claim=plan.get("claim", f"{entry['what']} of {plan.get('checkpoint', entry['checkpoint'])}"),
        checkpoint=plan.get("checkpoint", entry["checkpoint"]),
        model_class=plan["model_class"],
        output=plan["output"],
        slice=plan["slice"],
        tolerance=None if tolerance is None else Tolerance(*tolerance),
        dtype=plan.get("dtype", "float32"),
        source=Source(source["publisher"], repository, plan["path"], commit),
        license=plan.get("license") or LICENSES[repository],
        note=" ".join(filter(None, [plan.get("note"), entry.get("note")])),
    )


def needed_values(plan: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[Any, list[str] | None]:
    """Numbers and texts of an entry of the second list."""
    values = entry["values"]
    if "pick_texts" in plan:
        return None, followed(entry, plan["pick_texts"])
    if "pick_each" in plan:
        return np.array([followed(entry, path) for path in plan["pick_each"]], dtype=np.float64), None
    if "pick" in plan:
        return np.array(followed(entry, plan["pick"]), dtype=np.int64 if plan.get("exact") else np.float64).reshape(
            -1 if plan.get("flat") else np.shape(followed(entry, plan["pick"]))
        ), None
    if "told_of" in plan:
        found = re.search(rf"{re.escape(plan['told_of'])} (\d+\.\d+)", entry["checkpoint"])
        assert found is not None
        return np.array(float(found[1])), None
    if "words" in plan:
        return np.array([values[word] for word in plan["words"]]), None
    if "weights" in plan:
        rows = [sorted(row.items()) for row in followed(entry, plan["weights"])]
        return np.array([weight for row in rows for _, weight in row]), [token for row in rows for token, _ in row]
    if plan.get("card"):
        return np.array([[p for _, p, _ in values]]), [str(number) for number, _, _ in values]
    if plan.get("ranked_values"):
        return np.array([[p for _, p in values]]), [word for word, _ in values]
    if plan.get("one_span"):
        return np.array([values[3]]), [values[0].strip()]
    if plan.get("zero_shot"):
        return np.array([score for _, score in values[0]]), [word for word, _ in values[0]]
    if plan.get("split"):
        return None, values.split()
    if plan.get("mapping"):
        return None, list(values.values())
    if plan.get("beams"):
        flat = [pair for row in values.values() for pair in row]
        return np.array([score for _, score in flat]), [text for text, _ in flat]
    raise ValueError(f"{entry['checkpoint']}: expected a plan that tells its values, got {dict(plan)}")


def followed(content: Any, path: list[Any]) -> Any:
    for step in path:
        content = content[step["from"] :] if isinstance(step, dict) else content[step]
    return content


if __name__ == "__main__":
    main()
