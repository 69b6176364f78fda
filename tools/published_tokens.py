"""The lists of token ids of outputs-reproduced.json as goldens: texts in, ids out, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueband.golden.store import Golden, Metadata, Source
from trueband.golden.store.digest import inputs_sha256

XLMR_BASE, ROBERTA_BASE = "FacebookAI/xlm-roberta-base", "FacebookAI/roberta-base"
JS = "huggingface/transformers.js"


def token_goldens(lists: Mapping[str, Any], version: str) -> list[Golden]:
    """One golden for each source. The five texts of fairseq's README are in the other list already."""
    xlmr, roberta = lists["xlmr_tokens"], lists["roberta_tokens"]
    js, commit = xlmr["transformers_js"]["cases"], "5ed4c5c"
    of_js = {name: [case[2:] for case in js if case[0] == name] for name in dict.fromkeys(case[0] for case in js)}
    bge, mpnet = of_js["Xenova/bge-reranker-base"], of_js["Xenova/paraphrase-multilingual-mpnet-base-v2"]
    comet = Source("Unbabel", "Unbabel/COMET", "tests/unit/encoders/test_xlmr.py", "da61b81")
    hub = "tests/models/xlm_roberta/test_modeling_xlm_roberta.py"
    folder = "packages/transformers/tests/models"
    made = [
        (
            "xlmr_token_ids_transformers",
            XLMR_BASE,
            xlmr["cases"][5:6],
            True,
            Source("Hugging Face", "huggingface/transformers", hub),
            "Apache-2.0",
            "",
        ),
        (
            "xlmr_token_ids_comet",
            XLMR_BASE,
            xlmr["cases"][6:],
            True,
            comet,
            "Apache-2.0",
            "The source's pairs, split at </s></s>.",
        ),
        (
            "xlmr_token_ids_js_bge",
            "BAAI/bge-reranker-base",
            bge,
            True,
            Source("Hugging Face", JS, f"{folder}/xlm_roberta/test_tokenization_xlm_roberta.js", commit),
            "Apache-2.0",
            "Keeps a final space as a token (id 6).",
        ),
        (
            "xlmr_token_ids_js_mpnet",
            "sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
            mpnet,
            True,
            Source("Hugging Face", JS, f"{folder}/xlm_roberta/test_tokenization_xlm_roberta.js", commit),
            "Apache-2.0",
            "Drops final spaces.",
        ),
        (
            "roberta_token_ids_fairseq",
            ROBERTA_BASE,
            roberta["cases"],
            True,
            Source("Facebook AI", "facebookresearch/fairseq", "examples/roberta/README.md"),
            "MIT",
            "The second and the third are of tests of huggingface/transformers.",
        ),
        (
            "roberta_token_ids_llama_cpp",
            ROBERTA_BASE,
            roberta["llama_cpp_no_specials"],
            False,
            Source("ggml", "ggml-org/llama.cpp", "models/ggml-vocab-roberta-bpe.gguf.out"),
            "MIT",
            "",
        ),
        (
            "roberta_token_ids_js",
            "sentence-transformers/all-distilroberta-v1",
            [case[1:] for case in roberta["transformers_js"]["cases"]],
            True,
            Source("Hugging Face", JS, f"{folder}/roberta/test_tokenization_roberta.js", commit),
            "Apache-2.0",
            "",
        ),
    ]
    return [_golden(*each, version) for each in made]


def _golden(
    name: str, checkpoint: str, cases: list[Any], special: bool, source: Source, license: str, note: str, version: str
) -> Golden:
    inputs = {"input_ids": {"texts": [text for text, _ in cases], "special": special}}
    metadata = Metadata(
        id=name,
        kind="published",
        claim=f"token ids of {len(cases)} texts",
        checkpoint=checkpoint,
        run="token_ids",
        model_class=None,
        inputs=inputs,
        output="token ids",
        dtype="int64",
        source=source,
        license=license,
        generator=f"trueband {version}",
        inputs_sha256=inputs_sha256(inputs, {}),
        expected=[" ".join(map(str, ids)) for _, ids in cases],
        note=note,
    )
    return Golden(metadata, {})
