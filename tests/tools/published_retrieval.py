"""How each entry of outputs-need-checkpoint.json becomes a golden: the second part, retrieval and scores on datasets."""

from __future__ import annotations

from typing import Any

from published_plans import *
from published_sources import *

BGE_TEXTS = [
    "What is BGE M3?",
    "Defination of BM25",
    "BGE M3 is an embedding model supporting dense retrieval, lexical matching and multi-vector interaction.",
    "BM25 is a bag-of-words retrieval function that ranks a set of documents based on the query terms appearing in "
    "each document",
]
SUMS = {
    **classes("Model"), "output": "embedding.sum(-1)", "slice": None, "source": AS_FASTEMBED_RS,
    "path": "tests/text-embeddings.rs", "tolerance": (0.01, 0.0, STATED), "sentences": True,
}  # fmt: skip
SCORES = {**classes("Model"), "source": AS_FLAG, "path": "research/BGE_M3/README.md", "dtype": "float16"}
BOTH = {"input_ids": {"texts": BGE_TEXTS}, "attention_mask": "tokenizer"}
PAIRS = [[0, 2], [0, 3], [1, 2], [1, 3]]


def sums(key: str, pooling: str) -> Plan:
    return {**SUMS, "pick": ["values", key], "details": sentence(pooling)}


def spearman(name: str) -> Plan:
    return {
        **classes("Model"), "checkpoint": f"sentence-transformers/{name}", "output": "spearman", "slice": None,
        "inputs": {}, "cannot_run": DATASET, "told_of": name, "path": "tests/test_pretrained_stsb.py",
        "tolerance": (0.1, 0.0, "lower bound of the publisher's test: 0.1 below"),
        "source": {
            "publisher": "UKP Lab", "repository": "UKPLab/sentence-transformers",
            "commit": "85ec64559f4414aa536eca4bf53538291e0a333f",
        },
        "claim": "rank correlation on STSb, times 100",
    }  # fmt: skip


NEEDED_RETRIEVAL: dict[int, tuple[list[str], dict[str, Plan]]] = {
    36: ([], {}),  # the logits of the first are in the other list; those of the second, a BERT, in neither
    37: (
        [],
        {
            "fastembed_e5_large": {
                **classes("Model"), "checkpoint": E5_LARGE, "output": "embedding", "slice": "[0, :5]",
                "pick": ["values"], "inputs": {"input_ids": {"texts": ["hello world"]}},
                "details": sentence("mean", normalize=False), "tolerance": (1e-3, 0.0, STATED), "source": AS_FASTEMBED,
                "path": "tests/test_text_onnx_embeddings.py", "claim": "first numbers of an embedding",
            },
        },
    ),
    38: (
        [],
        {
            "fastembed_mpnet": {
                **classes("Model"), "output": "embedding", "slice": "[0, :5]", "pick": ["values"],
                "inputs": {"input_ids": {"texts": ["hello world"]}}, "details": sentence("mean", normalize=False),
                "tolerance": (1e-3, 0.0, STATED), "source": AS_FASTEMBED,
                "path": "tests/test_text_onnx_embeddings.py", "claim": "first numbers of an embedding",
            },
        },
    ),
    39: (
        [],
        {
            "fastembed_bge_reranker_base": {
                **classes("ForSequenceClassification"), "output": "logits", "slice": "[:, 0]", "pick": ["values"],
                "inputs": {
                    "input_ids": {
                        "pairs": [
                            ["What is the capital of France?", "Paris is the capital of France."],
                            ["What is the capital of France?", "Berlin is the capital of Germany."],
                        ]
                    },
                    "attention_mask": "tokenizer",
                },
                "tolerance": (1e-3, 0.0, STATED), "source": AS_FASTEMBED, "path": "tests/test_text_cross_encoder.py",
                "claim": "scores of two documents",
            },
        },
    ),
    40: ([], {}),  # the list does not hold the numbers
    41: (
        [],
        {
            "fastembed_rs_bge_m3_sums": {**sums("BGEM3", "cls"), "checkpoint": "BAAI/bge-m3"},
            "fastembed_rs_e5_base_sums": {
                **sums("MultilingualE5Base", "mean"), "checkpoint": "intfloat/multilingual-e5-base",
            },
            "fastembed_rs_e5_large_sums": {**sums("MultilingualE5Large", "mean"), "checkpoint": E5_LARGE},
            "fastembed_rs_mpnet_sums": {**sums("ParaphraseMLMpnetBaseV2", "mean"), "checkpoint": MPNET},
            "fastembed_rs_minilm_sums": {
                **sums("AllMiniLML6V2", "mean"), "checkpoint": "sentence-transformers/all-MiniLM-L6-v2",
                "model_class": None, "cannot_run": BERT,
            },
        },
    ),
    42: (
        [],
        {
            "fastembed_rs_bge_m3_token_weights": {
                **classes("Model"), "output": "token_weights", "slice": None, "weights": ["values"],
                "details": sentence("cls", tokens="ids"), "sentences": True, "tolerance": (1e-4, 0.0, STATED),
                "source": AS_FASTEMBED_RS, "path": "tests/bgem3_comparison.rs",
                "claim": "weights of the tokens of two texts",
            },
        },
    ),
    43: (
        ["bge_m3_dense", "bge_m3_colbert"],
        {
            "bge_m3_dense_notebook": {
                **SCORES, "output": "similarity", "slice": None, "inputs": BOTH, "pick": ["values", "dense_notebook"],
                "details": sentence("cls", queries=2), "tolerance": (1e-3, 0.0, FP16),
                "path": "docs/source/tutorial/1_Embedding/1.2.4.ipynb", "claim": "similarities of two texts with two",
            },
            "bge_m3_token_weights": {
                **SCORES, "output": "token_weights", "slice": None, "weights": ["values", "lexical_weights"],
                "inputs": {"input_ids": {"texts": BGE_TEXTS[:2]}, "attention_mask": "tokenizer"},
                "details": sentence("cls", tokens="words"), "tolerance": (1e-3, 0.0, FP16),
                "claim": "weights of the tokens of two texts",
            },
            "bge_m3_lexical_scores": {
                **SCORES, "output": "scores", "slice": "[0]", "inputs": BOTH, "tolerance": (1e-3, 0.0, FP16),
                "pick": ["values", "lexical_score_10_20,10_21"],
                "details": sentence("cls", pairs=PAIRS[:2], mixtures=[{"sparse": 1}]),
                "claim": "lexical scores of a text with two",
            },
            "bge_m3_colbert_pair": {
                **SCORES, "output": "scores", "slice": "[0]", "inputs": BOTH, "tolerance": (1e-3, 0.0, FP16),
                "pick": ["values", "colbert_10_20,10_21"],
                "details": sentence("cls", pairs=PAIRS[:2], mixtures=[{"colbert": 1}]),
                "claim": "late-interaction scores of a text with two",
            },
            "bge_m3_mixed_scores": {
                **SCORES, "output": "scores", "slice": None, "inputs": BOTH, "tolerance": (1e-3, 0.0, FP16),
                "pick_each": [
                    ["values", "compute_score", "sparse+dense"], ["values", "compute_score", "colbert+sparse+dense"],
                ],
                "details": sentence(
                    "cls", pairs=PAIRS,
                    mixtures=[{"sparse": 0.2, "dense": 0.4}, {"colbert": 0.4, "sparse": 0.2, "dense": 0.4}],
                ),
                "claim": "mixtures of dense, lexical and late-interaction scores",
            },
        },
    ),
    44: (
        ["flag_bge_reranker_large"],
        {
            "flag_bge_reranker_large_tutorial": {
                **classes("ForSequenceClassification"), "output": "logits", "slice": "[:, 0]", "inputs": {},
                "pick": ["values", '5.1 (same query: "Today is a sunny day"; the tiger text in file; panda text)'],
                "cannot_run": "reads a text that the list of published outputs does not hold", "source": AS_FLAG,
                "path": "docs/source/tutorial/5_Reranking/5.1.ipynb", "tolerance": (0.02, 0.0, FP16),
                "dtype": "float16", "claim": "scores of three texts",
            },
            "flag_bge_reranker_large_capitals": {
                **classes("ForSequenceClassification"), "output": "logits", "slice": "[:, 0]", "inputs": {},
                "pick": ["values", "5.2 capital/population x 2 docs"],
                "cannot_run": "reads texts that the list of published outputs does not hold", "source": AS_FLAG,
                "path": "docs/source/tutorial/5_Reranking/5.2.ipynb", "tolerance": (0.02, 0.0, FP16),
                "dtype": "float16", "claim": "scores of two queries with two texts",
            },
        },
    ),
    45: (["flag_bge_reranker_v2_m3"], {}),
    46: (["candle_readme_bge_reranker_base"], {}),
    47: (
        [],
        {
            "ce_stsb_distilroberta": {
                **classes("ForSequenceClassification"), "output": "sigmoid(logits)", "slice": "[:, 0]", "inputs": {},
                "pick": ["values"], "cannot_run": "reads three passages that the list of published outputs does not hold",
                "tolerance": (0.0, 1e-4, STATED), "path": "tests/cross_encoder/test_pretrained.py",
                "source": {
                    "publisher": "UKP Lab", "repository": "UKPLab/sentence-transformers",
                    "commit": "85ec64559f4414aa536eca4bf53538291e0a333f",
                },
                "claim": "scores of three passages",
            },
        },
    ),
    48: (
        ["st_stsb_paraphrase-xlm-r-multilingual-v1"],
        {
            "st_stsb_roberta-base-nli": spearman("roberta-base-nli-stsb-mean-tokens"),
            "st_stsb_paraphrase-distilroberta-base-v1": spearman("paraphrase-distilroberta-base-v1"),
            "st_stsb_roberta-large-nli": spearman("roberta-large-nli-stsb-mean-tokens"),
        },
    ),
    49: (
        [],
        {
            "comet_xcomet_sample": {
                "checkpoint": "Unbabel/XCOMET", "model_class": None, "output": "scores", "slice": None, "inputs": {},
                "pick": ["values"], "cannot_run": PRE_LN, "tolerance": (1e-4, 0.0, FLOAT32),
                "source": {
                    "publisher": "Unbabel", "repository": "Unbabel/COMET",
                    "commit": "da61b810ea06f67bbd5d96031f55082167a16e80",
                },
                "path": "README.md", "claim": "scores of two translations",
            },
        },
    ),
}
