"""What the checks of decoding share: prompts, options drawn from a case's seed, and teacher forcing.

b batch, t tokens of the decoder, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.models.case import FIRST_WORD, VOCABULARY, ModelCase
from trueband.properties.models.model import Arrays, Model
from trueband.reference.arguments import Float
from trueband.reference.config import GenerationConfig, LEDConfig
from trueband.reference.decoding import rules_for
from trueband.reference.decoding_logits import Rules
from trueband.reference.embeddings import Ids
from trueband.reference.led import led_conditional_generation
from trueband.reference.roberta import roberta_causal_lm

DECODERS = ("led", "xlm-roberta")
MOST_PROMPT = 4  # tokens, of XLM-R
END = 2  # of the model's configuration
MANY_ENDS = (2, 7, 8, 11, 13, 17, 19, 23)


def decoder(case: ModelCase) -> Model:
    """Return the case's model in float64; XLM-R is a decoder too."""
    model = replace(case.model, dtype="float64")
    return model if case.architecture == "led" else model.with_config(is_decoder=True)


def decoding_inputs(case: ModelCase) -> Arrays:
    """Return what LED's encoder reads, or prompts for XLM-R: the last real tokens of the case, padded on the left."""
    if case.architecture == "led":
        return {name: array for name, array in case.inputs.items() if not name.startswith("decoder_")}
    mask = np.sort(case.real, axis=1)[:, -MOST_PROMPT:]
    ids = np.full(mask.shape, case.pad_token_id)
    for row, kept, words, real in zip(ids, mask, case.inputs["input_ids"], case.real, strict=True):
        row[kept] = words[real][-int(kept.sum()) :]
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


def decoder_prompt(case: ModelCase) -> Arrays:
    """Draw prompts of up to 4 tokens for LED, padded on the left, with a mask; or none. Some have the start token."""
    random = np.random.default_rng([case.seed, 19])
    tokens = int(random.integers(0, 5))
    if case.architecture != "led" or tokens == 0:
        return {}
    mask = np.arange(tokens) >= random.integers(0, tokens, (case.batch, 1))
    ids = np.where(mask, random.integers(FIRST_WORD, VOCABULARY, mask.shape), case.pad_token_id)
    if case.seed % 2:
        ids[0, 0], mask[0, 0] = case.config["decoder_start_token_id"], True
    return {"decoder_input_ids": ids, "decoder_attention_mask": mask.astype(np.int64)}


def prompts(case: ModelCase, inputs: Arrays) -> Ids:
    """Return (b, t): the tokens before the written ones; a start token comes first where no row begins with it."""
    if case.architecture != "led":
        return inputs["input_ids"]
    start = np.full((len(inputs["input_ids"]), 1), case.config["decoder_start_token_id"])
    if "decoder_input_ids" not in inputs:
        return start
    ids = inputs["decoder_input_ids"]
    return ids if (ids[:, 0] == start[0, 0]).any() else np.concatenate([start, ids], axis=1)


def prompt_tokens(case: ModelCase, inputs: Arrays) -> int:
    """Return how many tokens stand before the first written one."""
    return prompts(case, inputs).shape[1]


def rules_of(case: ModelCase, inputs: Arrays, options: dict[str, Any]) -> Rules:
    """Return the options of decoding, with the defaults of the model and of the prompt filled in."""
    return rules_for(GenerationConfig(**options), decoder(case).settings, prompt_tokens(case, inputs))


def forced(case: ModelCase, inputs: Arrays, before: Ids, prompt: int | None = None) -> Arrays:
    """Return the inputs that make a model read `before` (rows, t), which begins with the prompt.

    Args:
        prompt: how many tokens stand before the first written one; None: as in these inputs. A single row has
            the number of its batch: whether a start token comes first depends on all rows.
    """
    copies = len(before) // len(inputs["input_ids"])
    rows = {name: np.repeat(array, copies, axis=0) for name, array in inputs.items()}
    side = "decoder_" if case.architecture == "led" else ""
    mask = rows.get(f"{side}attention_mask", np.ones((len(before), 0), dtype=np.int64))
    in_front = (prompt_tokens(case, inputs) if prompt is None else prompt) - mask.shape[1]  # a start token
    behind = before.shape[1] - in_front - mask.shape[1]
    rows[f"{side}attention_mask"] = np.pad(mask, ((0, 0), (in_front, behind)), constant_values=1)
    rows[f"{side}input_ids"] = before
    return rows


class Draw:
    """Options drawn from the seed of a case; the first of the values is the plain one."""

    def __init__(self, case: ModelCase, inputs: Arrays, salt: int) -> None:
        self.random = np.random.default_rng([case.seed, salt])
        self.prompt = prompt_tokens(case, inputs)
        positions = 24 if case.architecture == "led" else case.tokens + 4
        self.most = min(8, positions - self.prompt)  # new tokens

    def choice(self, *values: Any) -> Any:
        return values[int(self.random.integers(len(values)))]

    def length(self, least: int = 1) -> dict[str, Any]:
        """Draw a limit on the tokens, counted with the prompt or without."""
        new = int(self.random.integers(min(least, self.most), self.most + 1))
        return self.choice({"max_new_tokens": new}, {"max_length": self.prompt + new})

    def beams(self) -> dict[str, Any]:
        beams = int(self.random.integers(2, 5))
        return {
            "num_beams": beams,
            "num_return_sequences": self.choice(1, beams - 1, beams),
            "length_penalty": self.choice(1.0, 2.0, 2.0, 0.5, 0.0, -2.0),
            "early_stopping": self.choice(False, True, "never", "never"),
        }

    def ends(self) -> dict[str, Any]:
        """Draw end tokens: the model's, another one, or many; and another padding."""
        return self.plain(eos_token_id=self.choice(None, 9, MANY_ENDS, MANY_ENDS), pad_token_id=self.choice(None, 3))

    def least_new(self) -> dict[str, Any]:
        """Draw a least number of new tokens, where many tokens could end the sequence."""
        return {"min_new_tokens": self.least(), "eos_token_id": MANY_ENDS}

    def least(self) -> int:
        return int(self.random.integers(2, self.most + 2))  # one more than can be: then nothing ends

    def constraints(self) -> dict[str, Any]:
        least = self.least()
        lengths: dict[str, Any] = self.choice({}, {"min_new_tokens": least}, {"min_length": self.prompt + least})
        return lengths | self.plain(
            no_repeat_ngram_size=self.choice(None, 1, 2, 3),
            repetition_penalty=self.choice(None, 1.7, 0.6),
            forced_bos_token_id=self.choice(None, 8),
            forced_eos_token_id=self.choice(None, END),
        )

    def sampling(self) -> dict[str, Any]:
        return {
            "do_sample": True,
            "temperature": self.choice(1.0, 0.5, 2.0),
            "top_k": self.choice(0, 5, 12),
            "top_p": self.choice(1.0, 0.8, 0.5),
        }

    @staticmethod
    def plain(**options: Any) -> dict[str, Any]:
        """Return the options without those that are None."""
        return {name: value for name, value in options.items() if value is not None}


def end_tokens(options: dict[str, Any]) -> tuple[int, ...]:
    ends = options.get("eos_token_id", END)
    return ends if isinstance(ends, tuple) else (ends,)


def written_tokens(sequences: Ids, prompt: int, ends: Collection[int]) -> Ids:
    """Return (rows,): how many new tokens each row has up to and with its first end token; all without one."""
    is_end = np.isin(sequences[:, prompt:], list(ends))
    return np.where(is_end.any(axis=1), is_end.argmax(axis=1) + 1, is_end.shape[1])


def teacher_forced(case: ModelCase, inputs: Arrays, sequences: Ids) -> Float:
    """Return the reference's logits (rows, t - 1, V) of every token after the first, given those before it.

    `sequences` (rows, t): the same number of rows for each row of the batch.
    """
    rows, config = forced(case, inputs, sequences[:, :-1]), decoder(case).settings
    run: Any = led_conditional_generation if isinstance(config, LEDConfig) else roberta_causal_lm
    logits: Float = run(case.state, config, rows.pop("input_ids"), **rows).logits
    return logits
