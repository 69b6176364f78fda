"""How each entry of outputs-need-checkpoint.json becomes a golden, by position: the first part, models and their heads.

An entry gives the ids of the other list that hold the same numbers, and new goldens by their ids. `pick` leads to the
expected values, `pick_texts` to texts.
"""

from __future__ import annotations

from published_plans import *
from published_sources import *

VOTING = "Who are you voting for in 2020?"
STIMULUS = (
    "The prime minister has announced a stimulus package which was widely criticized by the opposition."
)  # fmt: skip
TOPICS = ["politics", "public health", "economy", "sports"]
ZERO_SHOT = {
    "input_ids": {"pairs": [[text, f"This example is about {topic}."] for text in (VOTING, STIMULUS) for topic in TOPICS]},
    "attention_mask": "tokenizer",
}
# Position -> ids of the other list that hold the same numbers, and new goldens by their ids. `pick` leads to the
# expected values; `pick_texts` to texts.
NEEDED_MODELS: dict[int, tuple[list[str], dict[str, Plan]]] = {
    0: (["led_base_no_head"], {}),
    1: (["led_base_lm_head"], {}),
    2: (
        [],
        {
            "led_large_arxiv_generate_2025": {
                "model_class": "LEDForConditionalGeneration", "output": "generated_text", "slice": None, "inputs": {},
                "cannot_run": ARTICLES, "pick_texts": ["values"], "source": AS_TRANSFORMERS,
                "path": "tests/models/led/test_modeling_led.py", "commit": "032b32abfb07ba36e8fc1a8e5251514523edce34",
                "claim": "summaries of two articles, as a later version of the test prints them",
                "note": "Another text than led_large_arxiv_generate: the test was changed between the two commits.",
            },
        },
    ),
    3: (["longformer_base_short"], {}),
    4: (["longformer_base_long_sum", "longformer_base_long_mean"], {}),
    5: (["longformer_base_mlm_long_loss", "longformer_base_mlm_long_sum", "longformer_base_mlm_long_mean"], {}),
    6: (["lf_tiny_layer_local", "lf_tiny_layer_global_a", "lf_tiny_layer_global_b"], {}),
    7: (["allenai_longformer_base_4096_sum"], {}),
    8: (["rustbert_longformer_mlm_1", "rustbert_longformer_mlm_2"], {}),
    9: (["rustbert_longformer_squad"], {}),
    10: (["xlmr_base_last_dim"], {}),
    11: (["xlmr_large_last_dim"], {}),
    12: (
        [],
        {
            "xlmr_base_card_fill_mask": {
                **classes("ForMaskedLM"), "output": "top_tokens", "slice": None, "card": True,
                "inputs": {"input_ids": {"texts": ["Hello I'm a <mask> model."]}},
                "details": top(5, "probabilities", "ids"), "tolerance": (1e-4, 0.0, FLOAT32),
                "source": {"publisher": "Facebook AI", "repository": None}, "path": "the Hub's card of xlm-roberta-base",
                "license": "not stated; numbers only",
                "claim": "the five most probable tokens of a mask, and their probabilities",
                "note": "The card of xlm-roberta-large repeats these numbers: not used for it.",
            },
        },
    ),
    13: (["keras_xlmr_base"], {}),
    14: (["keras_roberta_base"], {}),
    15: (["bart_base_keras_encoder__derived_for_led_base", "bart_base_keras_decoder__derived_for_led_base"], {}),
    16: (["roberta_base_mlm"], {}),
    17: (["roberta_base_no_head"], {}),
    18: (["roberta_large_mnli"], {}),
    19: (["fairseq_roberta_large_fill_mask"], {}),
    20: (
        [],
        {
            "fairseq_roberta_large_word_features": {
                **classes("Model"), "checkpoint": ROBERTA_LARGE, "output": "last_hidden_state",
                "slice": "[0, [0, 1, 2, 3, 5, -1], :5]", "words": ["<s>", "I", "said", ",", "hello", "</s>"],
                "inputs": {"input_ids": {"texts": ['I said, "hello RoBERTa."']}}, "tolerance": (1e-4, 0.0, DIGITS4),
                "source": AS_FAIRSEQ, "path": "examples/roberta/README.md",
                "claim": "features of the six words of a sentence that are one token each",
                "note": "Words of several tokens, and the quotation marks, of which the list holds one, are left out.",
            },
        },
    ),
    21: (
        [],
        {
            "fairseq_roberta_large_mnli_pairs": {
                **classes("ForSequenceClassification"), "checkpoint": "FacebookAI/roberta-large-mnli",
                "output": "argmax(logits)", "slice": None, "pick": ["values", 0], "inputs": {}, "exact": True,
                "cannot_run": "reads four pairs of sentences that the list of published outputs does not hold",
                "source": AS_FAIRSEQ, "path": "examples/roberta/README.md",
                "claim": "classes of four pairs of sentences",
            },
            "fairseq_roberta_large_mnli_accuracy": {
                **classes("ForSequenceClassification"), "checkpoint": "FacebookAI/roberta-large-mnli",
                "output": "accuracy", "slice": None, "pick": ["values", 1], "inputs": {}, "cannot_run": DATASET,
                "tolerance": (1e-3, 0.0, "printed with 3 decimals: one unit of the last"),
                "source": AS_FAIRSEQ, "path": "examples/roberta/README.md", "claim": "accuracy on the MNLI dev set",
            },
        },
    ),
    22: (
        [],
        {
            "camembert_base_no_head": {
                **classes("Model"), "output": "last_hidden_state", "slice": "[:, :3, :3]", "ids": True,
                "pick": ["values"], "tolerance": (1e-4, 0.0, STATED), "source": AS_TRANSFORMERS,
                "path": "tests/models/camembert/test_modeling_camembert.py",
                "claim": "hidden states of a sentence, from fairseq's camembert.v0",
            },
        },
    ),
    23: (
        [],
        {
            "fairseq_camembert_fill_mask": {
                **classes("ForMaskedLM"), "checkpoint": "camembert-base", "output": "top_tokens", "slice": None,
                "ranked_values": True, "inputs": {"input_ids": {"texts": ["Le camembert est <mask> :)"]}},
                "details": top(3, "probabilities", "texts"), "tolerance": (1e-4, 0.0, FLOAT32),
                "source": AS_FAIRSEQ, "path": "examples/camembert/README.md",
                "claim": "the three most probable tokens of a mask, and their probabilities",
            },
        },
    ),
    24: (["bart_large_no_head__derived_for_led_large"], {}),
    25: (
        [],
        {
            "bart_large_mnli_logits": {
                "model_class": "LEDForSequenceClassification", "conversion": AS_LED, "kind": "derived",
                "output": "logits", "slice": "[0]", "ids": True, "pick": ["values"], "tolerance": (1e-3, 0.0, STATED),
                "source": AS_TRANSFORMERS, "path": "tests/models/bart/test_modeling_bart.py",
                "claim": "logits of a text, of a BART run as an LED",
            },
        },
    ),
    26: (
        [],
        {
            "fairseq_bart_base_fill_mask": {
                "model_class": "LEDForConditionalGeneration", "checkpoint": BART_BASE, "output": "generated_text",
                "slice": None, "inputs": {}, "beams": True, "kind": "derived", "conversion": AS_LED,
                "cannot_run": "decodes with fairseq's own beam search for masks, which trueband does not have",
                "tolerance": (1e-4, 0.0, DIGITS4), "source": AS_FAIRSEQ, "path": "examples/bart/README.md",
                "claim": "the three best fillings of two masks, and their scores",
            },
        },
    ),
    27: (
        [],
        {
            "fairseq_bart_large_mnli_accuracy": {
                "model_class": "LEDForSequenceClassification", "checkpoint": BART_MNLI, "output": "accuracy",
                "slice": None, "inputs": {}, "pick": ["values", 0], "cannot_run": DATASET, "kind": "derived",
                "tolerance": (1e-3, 0.0, "printed with 3 decimals: one unit of the last"), "source": AS_FAIRSEQ,
                "path": "examples/bart/README.md", "claim": "accuracy on the MNLI dev set",
            },
            "fairseq_bart_large_cnn_rouge": {
                "model_class": "LEDForConditionalGeneration", "checkpoint": "facebook/bart-large-cnn",
                "output": "rouge-2", "slice": None, "inputs": {}, "pick": ["values", 1], "cannot_run": DATASET,
                "kind": "derived", "tolerance": (1e-5, 0.0, "printed with 5 decimals: one unit of the last"),
                "source": AS_FAIRSEQ, "path": "examples/bart/README.md", "claim": "ROUGE-2 on CNN/DailyMail",
            },
        },
    ),
    28: (
        [],
        {
            "ctranslate2_bart_base_tokens": {
                "model_class": "LEDForConditionalGeneration", "conversion": AS_LED, "kind": "derived",
                "output": "generated_tokens", "slice": None, "split": True,
                "inputs": {"input_ids": {"texts": ["UN Chief Says There Is No<mask> in Syria"]}},
                "details": {
                    "generate": {"num_beams": 2, "max_length": 256, "forced_bos_token_id": 0},
                    "without": ["</s>", "<pad>"],
                },
                "source": {
                    "publisher": "OpenNMT", "repository": "OpenNMT/CTranslate2",
                    "commit": "0d8bcd362ac75ef860ef161d6f0efad0ae439ff0",
                },
                "path": "python/tests/test_transformers.py", "claim": "tokens that a BART, run as an LED, writes for a mask",
            },
        },
    ),
    29: (
        [],
        {
            "ctranslate2_mbart_translations": {
                "checkpoint": "facebook/mbart-large-50-many-to-many-mmt", "model_class": None, "run": "checkpoint",
                "output": "generated_tokens", "slice": None, "inputs": {}, "cannot_run": PRE_LN, "mapping": True,
                "source": {
                    "publisher": "OpenNMT", "repository": "OpenNMT/CTranslate2",
                    "commit": "0d8bcd362ac75ef860ef161d6f0efad0ae439ff0",
                },
                "path": "python/tests/test_transformers.py", "claim": "tokens of two translations",
                "note": "The second translation is of facebook/mbart-large-en-ro.",
            },
        },
    ),
    30: (
        [],
        {
            "mbart_en_ro_logits": {
                "model_class": None, "output": "logits", "slice": "[0, 0, :3]", "inputs": {}, "cannot_run": PRE_LN,
                "pick": ["values"], "tolerance": (1e-4, 0.0, DIGITS4), "source": AS_TRANSFORMERS,
                "path": "tests/test_modeling_mbart.py", "claim": "three logits",
            },
        },
    ),
    31: (
        [],
        {
            "rustbert_distilbart_first": {
                "model_class": "LEDModel", "conversion": AS_LED, "kind": "derived", "output": "last_hidden_state",
                "slice": "[0, 0, 0]", "pick": ["values"], "tolerance": (1e-4, 0.0, STATED),
                "inputs": {"input_ids": {"texts": ["One two three four"]}}, "source": AS_RUSTBERT,
                "path": "tests/bart.rs", "claim": "the first state of the decoder, of a BART run as an LED",
            },
        },
    ),
    32: (
        [],
        {
            "rustbert_bart_zero_shot_best": {
                "model_class": "LEDForSequenceClassification", "checkpoint": BART_MNLI, "conversion": AS_LED,
                "kind": "derived", "output": "best_label", "slice": None, "inputs": ZERO_SHOT, "zero_shot": True,
                "details": {"labels": TOPICS, "entailment": 2}, "tolerance": (1e-4, 0.0, STATED),
                "source": AS_RUSTBERT, "path": "tests/bart.rs", "claim": "the best of four topics of two texts",
            },
            "rustbert_bart_zero_shot_each": {
                "model_class": "LEDForSequenceClassification", "checkpoint": BART_MNLI, "conversion": AS_LED,
                "kind": "derived", "output": "softmax(logits)", "slice": "[:, 1]", "inputs": ZERO_SHOT,
                "details": {"classes": [0, 2]}, "pick": ["values", 1], "flat": True,
                "tolerance": (1e-4, 0.0, STATED), "source": AS_RUSTBERT, "path": "tests/bart.rs",
                "claim": "for each of four topics, whether two texts are about it",
            },
        },
    ),
    33: (
        [],
        {
            "rustbert_mbart_first": {
                "model_class": None, "output": "last_hidden_state", "slice": "[0, 0, 0]", "inputs": {},
                "cannot_run": PRE_LN, "pick": ["values", 0], "tolerance": (1e-4, 0.0, STATED), "source": AS_RUSTBERT,
                "path": "tests/mbart.rs", "claim": "the first state of the decoder",
            },
            "rustbert_mbart_translations": {
                "model_class": None, "output": "generated_text", "slice": None, "inputs": {}, "cannot_run": PRE_LN,
                "pick_texts": ["values", slice(1, None)], "source": AS_RUSTBERT, "path": "tests/mbart.rs",
                "claim": "a sentence in French, Spanish and Hindi",
            },
        },
    ),
    34: (["rustbert_xlmr_ner_de"], {}),
    35: (
        [],
        {
            "rustbert_roberta_squad": {
                **classes("ForQuestionAnswering"), "checkpoint": "deepset/roberta-base-squad2", "output": "answers",
                "slice": None, "one_span": True, "tolerance": (1e-4, 0.0, STATED), "source": AS_RUSTBERT,
                "inputs": {"input_ids": {"pairs": [["Where does Amy live ?", "Amy lives in Amsterdam"]]}},
                "details": {"longest": 15, "contexts": ["Amy lives in Amsterdam"]}, "path": "tests/roberta.rs",
                "claim": "the answer to a question, and its score",
            },
        },
    ),
}
