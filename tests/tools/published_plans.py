"""How each entry of the published lists becomes a golden: what a list says in words, said in the store's terms.

`PLANS` is for entries of outputs-by-checkpoint.json, by their ids: changes to what `import_published` reads by itself.
"""

from __future__ import annotations

from typing import Any

Plan = dict[str, Any]

LED_BASE, LED_ARXIV = "allenai/led-base-16384", "allenai/led-large-16384-arxiv"
BART_BASE, BART_LARGE, BART_MNLI = "facebook/bart-base", "facebook/bart-large", "facebook/bart-large-mnli"
LONGFORMER = "allenai/longformer-base-4096"
XLMR_BASE, XLMR_LARGE = "FacebookAI/xlm-roberta-base", "FacebookAI/xlm-roberta-large"
ROBERTA_BASE, ROBERTA_LARGE = "FacebookAI/roberta-base", "FacebookAI/roberta-large"
E5_LARGE, MPNET = "intfloat/multilingual-e5-large", "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"

AS_LED = {"to": "led", "attention_window": 1024, "max_positions": 1024}
DATASET = "is a score on a dataset, which is not stored here"
ARTICLES = "reads two articles of about 70,000 letters, which the list of published outputs does not hold"
PRE_LN = "is of another architecture (layer norm before each sublayer), which trueband does not compute"
BERT = "is a BERT, which trueband does not compute"
FP16 = "no tolerance published; an fp16 run of which all digits are printed"
BF16 = "that of the same publisher's test of similarities; the one of this test is not in the list"
DIGITS4 = "printed with 4 decimals: one unit of the last"
FLOAT32 = "no tolerance published; all digits of a float32 run, of which 4 decimals are judged"


def classes(kind: str) -> Plan:
    return {"model_class": f"XLMRoberta{kind}"}


def top(k: int, of: str, tokens: str, at: Any = "<mask>") -> Plan:
    return {"k": k, "of": of, "tokens": tokens, "at": at}


def sentence(pooling: str, normalize: bool = True, **more: Any) -> Plan:
    return {"pooling": pooling, "normalize": normalize, **more}


def derived(model_class: str, checkpoint: str, **more: Any) -> Plan:
    return {"model_class": model_class, "checkpoint": checkpoint, "conversion": AS_LED, **more}


def similarities(pooling: str) -> Plan:
    """Of one query with four documents, with the prompts of the checkpoint's own configuration."""
    return {
        "model_class": "XLMRobertaModel", "output": "similarity", "slice": "[0]",
        "details": sentence(pooling, queries=1), "texts": "query", "why": "stated by the publisher's test",
    }  # fmt: skip


def cross_encoder() -> Plan:
    return {
        **classes("ForSequenceClassification"), "output": "sigmoid(logits)", "slice": "[:, 0]", "texts": "pairs",
        "tolerance": (0.0, 0.01, BF16),
    }  # fmt: skip


def docstring(kind: str, inputs: Plan, **more: Any) -> Plan:
    return {
        **classes(kind), "output": "prediction;loss", "slice": None, "inputs": inputs, "prediction": True,
        "why": "printed with 2 decimals: one unit of the last", **more,
    }  # fmt: skip


LONG = {"output": "last_hidden_state"}
MLM = {"model_class": "LongformerForMaskedLM"}
HEAD_OF_MASK = {"output": "top_tokens", "slice": None, "expected_key": "score", "texts_key": "token"}
MASKED_TEXTS = {
    "input_ids": {"texts": ["Looks like one <mask> is missing", "It was a very nice and <mask> day"]},
    "global_attention_mask": {"ones_at": [0]},
}
FULL = {"output": "last_hidden_state", "slice": None, "tensor": True, "why": "stated by the publisher's test"}
CAPITAL = "The capital of France is {}."

PLANS: dict[str, Plan] = {
    "led_base_no_head": {},
    "led_base_lm_head": {},
    "led_large_arxiv_generate": {
        "model_class": "LEDForConditionalGeneration", "output": "generated_text", "slice": None, "cannot_run": ARTICLES,
        "expected_texts": True, "inputs": {},
    },
    "bart_large_no_head__derived_for_led_large": derived("LEDModel", BART_LARGE),
    "bart_base_bumblebee_hidden__derived_for_led_base": derived("LEDModel", BART_BASE, output="last_hidden_state"),
    "bart_base_bumblebee_logits__derived_for_led_base": derived("LEDForConditionalGeneration", BART_BASE),
    "bart_base_keras_encoder__derived_for_led_base": derived(
        "LEDModel", BART_BASE, output="encoder_last_hidden_state", slice="[0, 0, :5]"
    ),
    "bart_base_keras_decoder__derived_for_led_base": derived(
        "LEDModel", BART_BASE, output="last_hidden_state", slice="[0, 0, :5]"
    ),
    "longformer_base_short": {},
    "longformer_base_long_sum": {**LONG, "slice": ".sum()"},
    "longformer_base_long_mean": {**LONG, "slice": ".mean()"},
    "longformer_base_mlm_long_loss": {"slice": None},
    "longformer_base_mlm_long_sum": {"output": "logits", "slice": ".sum()"},
    "longformer_base_mlm_long_mean": {"output": "logits", "slice": ".mean()"},
    "longformer_base_mlm_long_loss_v2_11": {**MLM, "slice": None},
    "longformer_base_mlm_long_sum_v2_11": {**MLM, "output": "logits", "slice": ".sum()"},
    "longformer_base_mlm_long_mean_v2_11": {**MLM, "output": "logits", "slice": ".mean()"},
    "allenai_longformer_base_4096_sum": {
        "model_class": "LongformerModel", "checkpoint": LONGFORMER, "slice": ".sum()",
        "inputs": {
            "input_ids": {
                "concat": [[0], {"repeat": 1023, "of": [20920, 232, 328, 1437]}, [20920, 232], [2]], "length": 4096,
            },
            "attention_mask": "ones",
            "global_attention_mask": {"ones_at": [1, 4, 21]},
        },
        "more_note": "The ids are read off the text; the source does not list them.",
    },
    "rustbert_longformer_mlm_1": {
        **MLM, **HEAD_OF_MASK, "inputs": MASKED_TEXTS, "details": top(1, "logits", "tokens", [[0, 4]]),
    },
    "rustbert_longformer_mlm_2": {
        **MLM, **HEAD_OF_MASK, "inputs": MASKED_TEXTS, "details": top(1, "logits", "tokens", [[1, 7]]),
    },
    "rustbert_longformer_squad": {
        "model_class": "LongformerForQuestionAnswering", "output": "answers", "slice": None, "spans": True,
    },
    "tf_tiny_longformer_mlm": {**MLM, "output": "logits"},
    "docstring_longformer_seqcls": docstring(
        "ForSequenceClassification", {"input_ids": {"texts": ["Hello, my dog is cute"]}, "labels": [1]},
        model_class="LongformerForSequenceClassification",
    ),
    "xlmr_base_last_dim": {**LONG},
    "xlmr_large_last_dim": {**LONG},
    "tf_xlmr_base_slice": {**LONG, **classes("Model"), "checkpoint": XLMR_BASE},
    "torchtext_xlmr_base_full": {**FULL, **classes("Model"), "checkpoint": XLMR_BASE},
    "torchtext_xlmr_large_full": {**FULL, **classes("Model"), "checkpoint": XLMR_LARGE},
    "torchtext_roberta_base_full": {**FULL, **classes("Model"), "checkpoint": ROBERTA_BASE},
    "torchtext_roberta_large_full": {**FULL, **classes("Model"), "checkpoint": ROBERTA_LARGE},
    "keras_xlmr_base": {**LONG, **classes("Model"), "checkpoint": XLMR_BASE, "slice": "[0, 0, :5]"},
    "keras_roberta_base": {**LONG, **classes("Model"), "checkpoint": ROBERTA_BASE, "slice": "[0, 0, :5]"},
    "bumblebee_xlmr_base_hidden": {**LONG, **classes("Model"), "checkpoint": XLMR_BASE},
    "bumblebee_xlmr_base_mlm": {**classes("ForMaskedLM"), "checkpoint": XLMR_BASE, "output": "logits"},
    "bumblebee_tiny_xlmr": {**LONG, **classes("Model")},
    "bumblebee_tiny_roberta_base": {**LONG, **classes("Model")},
    "bumblebee_tiny_roberta_mlm": classes("ForMaskedLM"),
    "bumblebee_tiny_roberta_seqcls": classes("ForSequenceClassification"),
    "bumblebee_tiny_roberta_tokcls": classes("ForTokenClassification"),
    "bumblebee_tiny_roberta_qa": classes("ForQuestionAnswering"),
    "bumblebee_tiny_roberta_mc": {**classes("ForMultipleChoice"), "choices": True},
    "bumblebee_tiny_roberta_clm": classes("ForCausalLM"),
    "bumblebee_roberta_base_clm": {**classes("ForCausalLM"), "checkpoint": ROBERTA_BASE, "output": "logits"},
    "bumblebee_roberta_emotion": classes("ForSequenceClassification"),
    "bumblebee_roberta_multiple_choice": classes("ForMultipleChoice"),
    "bumblebee_roberta_ner": {**classes("ForTokenClassification"), "output": "logits"},
    "bumblebee_roberta_qa": classes("ForQuestionAnswering"),
    "roberta_base_mlm": {**classes("ForMaskedLM"), "output": "logits"},
    "roberta_base_mlm_old": {**classes("ForMaskedLM"), "checkpoint": ROBERTA_BASE},
    "roberta_base_no_head": classes("Model"),
    "roberta_large_mnli": classes("ForSequenceClassification"),
    "roberta_base_export_topk": {
        **classes("ForMaskedLM"), "output": "top_tokens", "slice": None, "expected_texts": True,
        "inputs": {
            "input_ids": {"texts": ["The goal of life is <mask>."], "pad_to": 512}, "attention_mask": "tokenizer",
        },
        "details": top(5, "logits", "words"),
    },
    "fairseq_roberta_large_fill_mask": {
        **classes("ForMaskedLM"), "checkpoint": ROBERTA_LARGE, "output": "top_tokens", "slice": None, "ranked": True,
        "details": top(3, "probabilities", "texts"), "tolerance": (1e-4, 0.0, FLOAT32), "texts": "texts",
    },
    "rustbert_xlmr_ner_de": {
        **classes("ForTokenClassification"), "output": "entities", "slice": None, "entities": True, "texts": "texts",
        "cannot_run": "joins the scores of the parts of a word in a way that is not published beside the numbers",
    },
    "tei_go_emotions_single": {**classes("ForSequenceClassification"), "output": "logits", "slice": "[0]"},
    "tei_go_emotions_batch_row1": {**classes("ForSequenceClassification"), "output": "logits", "texts": "texts"},
    "tei_go_emotions_single_flash_fp16": {**classes("ForSequenceClassification"), "output": "logits", "slice": "[0]"},
    "candle_readme_bge_reranker_base": {
        **classes("ForSequenceClassification"), "output": "sigmoid(logits)", "slice": "[:, 0]", "texts": "pairs",
        "why": DIGITS4,
    },
    "candle_readme_formality": {
        **classes("ForSequenceClassification"), "output": "softmax(logits)", "slice": None, "texts": "texts",
        "why": DIGITS4,
    },
    "bge_m3_dense": {
        **classes("Model"), "output": "similarity", "slice": None, "texts": "both", "why": FP16,
        "details": sentence("cls", queries=2),
    },
    "bge_m3_colbert": {
        **classes("Model"), "output": "scores", "slice": None, "texts": "both", "why": FP16,
        "details": sentence(
            "cls", pairs=[[0, 2], [0, 3], [1, 2], [1, 3]], mixtures=[{"colbert": 1}, {"sparse": 1}]
        ),
    },
    "flag_bge_reranker_large": {
        **classes("ForSequenceClassification"), "slice": "[:, 0]", "texts": "pairs", "why": FP16,
    },
    "flag_bge_reranker_v2_m3": {
        **classes("ForSequenceClassification"), "slice": "[:, 0]", "texts": "pairs", "why": FP16,
    },
    "st_sim_bge-m3": similarities("cls"),
    "st_sim_multilingual-e5-base": similarities("mean"),
    "st_sim_multilingual-e5-large": similarities("mean"),
    "st_sim_multilingual-e5-large-instruct": similarities("mean"),
    "st_sim_snowflake-arctic-embed-l-v2.0": similarities("cls"),
    "st_sim_paraphrase-multilingual-mpnet-base-v2": similarities("mean"),
    "st_sim_all-roberta-large-v1": similarities("mean"),
    "st_sim_stsb-roberta-base": similarities("mean"),
    "st_ce_bge-reranker-base": cross_encoder(),
    "st_ce_bge-reranker-large": cross_encoder(),
    "st_ce_bge-reranker-v2-m3": cross_encoder(),
    "st_ce_stsb-roberta-base": cross_encoder(),
    "st_ce_stsb-roberta-large": cross_encoder(),
    "st_ce_quora-roberta-base": cross_encoder(),
    "st_stsb_paraphrase-xlm-r-multilingual-v1": {
        **classes("Model"), "output": "spearman", "slice": None, "inputs": {}, "cannot_run": DATASET,
        "tolerance": (0.1, 0.0, "lower bound of the publisher's test: 0.1 below"),
    },
    "docstring_XLMRobertaForMaskedLM": docstring(
        "ForMaskedLM",
        {"input_ids": {"texts": [CAPITAL.format("<mask>")]}, "labels": {"of_masks": CAPITAL.format("Paris")}},
        checkpoint=ROBERTA_BASE, details={"of": "mask"},
    ),
    "docstring_XLMRobertaForSequenceClassification": docstring(
        "ForSequenceClassification", {"input_ids": {"texts": ["Hello, my dog is cute"]}, "labels": [1]}
    ),
    "docstring_XLMRobertaForTokenClassification": docstring(
        "ForTokenClassification",
        {
            "input_ids": {"texts": ["HuggingFace is a company based in Paris and New York"], "special": False},
            "labels": {"names": ["O", "ORG", "ORG", "O", "O", "O", "O", "O", "LOC", "O", "LOC", "LOC"]},
        },
        listed=True,
    ),
    "docstring_XLMRobertaForQuestionAnswering": docstring(
        "ForQuestionAnswering",
        {
            "input_ids": {"pairs": [["Who was Jim Henson?", "Jim Henson was a nice puppet"]]},
            "start_positions": [14], "end_positions": [15],
        },
    ),
    "allenai_triviaqa_large": {
        "model_class": "LongformerForQuestionAnswering", "checkpoint": "allenai/triviaqa-longformer-large",
        "output": "exact_match;f1", "slice": None, "inputs": {}, "cannot_run": DATASET,
        "tolerance": (0.0, 1e-12, "all digits of a float64 printed"),
    },
    "fairseq_xlmr_token_ids": {
        "run": "token_ids", "checkpoint": XLMR_BASE, "model_class": None, "slice": None, "texts": "texts",
        "id_lists": True,
    },
    "xlmr_xl_last_dim": {**LONG, "cannot_run": PRE_LN},
    "xlmr_xxl_last_dim": {**LONG, "cannot_run": PRE_LN},
}
