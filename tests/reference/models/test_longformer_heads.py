"""Longformer with every head against the peer in float32, and the tokens that are global for each task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers

from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.encoder_variance import lm_head_moments, squashed_moments
from trueband.properties.bounds.layer_variance import linear_of
from trueband.properties.bounds.losses import cross_entropy_bound
from trueband.properties.bounds.model_variance import longformer_moments
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.results.verdict import judge, judge_exact
from trueband.reference.config import LongformerConfig
from trueband.reference.longformer import longformer_masked_lm, longformer_model
from trueband.reference.longformer_heads import (
    behind_the_question,
    first_separator,
    longformer_multiple_choice,
    longformer_question_answering,
    longformer_sequence_classification,
    longformer_token_classification,
)

SIZES: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "sep_token_id": 2,
    "initializer_range": 0.5,
    "attention_window": [4, 6],
    "num_labels": 3,
}
FLOAT32 = Precision.of("float32")
PAD, SEP, TOKENS = 1, 2, 12
QUESTIONS = np.array(
    [
        [0, 5, 6, 2, 2, 7, 8, 9, 2, 1, 1, 1],
        [0, 11, 2, 2, 12, 13, 14, 15, 16, 17, 18, 2],
    ]
)
QUESTION = np.array([[1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
BEHIND = np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]])
MASK = (QUESTIONS != PAD).astype(np.int64)


class Pair:
    """The peer's model of a class in float32, and ours with the same weights."""

    def __init__(self, peers: SimpleNamespace, name: str, **changes: Any) -> None:
        self.run = peers.run
        sizes = SIZES | changes
        self.model = peers.peer(name, transformers.LongformerConfig(**sizes), "float32")
        self.config, self.state = LongformerConfig.from_dict(sizes), peers.state_of(self.model)

    def last(self, ids: np.ndarray, mask: np.ndarray, flags: np.ndarray) -> Moments:
        masks: dict[str, Any] = {"attention_mask": mask, "global_attention_mask": flags}
        return longformer_moments(self.state, self.config, ids, FLOAT32, **masks)["last_hidden_state"]

    def linear(self, name: str, x: Moments) -> Moments:
        return linear_of(self.state, name, x, FLOAT32)

    def pooled(self, last: Moments, name: str) -> Moments:
        return squashed_moments(self.state, name, last.at(np.s_[:, 0]), FLOAT32)


def assert_agree(actual: Any, expected: Any, bound: Bound) -> None:
    verdict = judge(actual, expected, bound)
    assert verdict.passed, verdict


def test_pooler_and_masked_lm(peers: SimpleNamespace) -> None:
    both = Pair(peers, "LongformerForMaskedLM")
    labels = np.where(QUESTIONS == PAD, -100, QUESTIONS)
    theirs = both.run(
        both.model, input_ids=QUESTIONS, attention_mask=MASK, global_attention_mask=QUESTION, labels=labels
    )
    options = {"attention_mask": MASK, "global_attention_mask": QUESTION}
    ours = longformer_masked_lm(both.state, both.config, QUESTIONS, labels=labels, **options)
    last = both.last(QUESTIONS, MASK, QUESTION)
    bound = sigma_bound(lm_head_moments(both.state, "longformer.", both.config, last, FLOAT32))
    assert_agree(theirs.logits, ours.logits, bound)
    count = int(MASK.sum())
    assert_agree(theirs.loss, ours.loss, cross_entropy_bound(ours.logits, count, FLOAT32, bound))
    with_pooler = Pair(peers, "LongformerForMultipleChoice")
    pooled = longformer_model(with_pooler.state, with_pooler.config, QUESTIONS, prefix="longformer.").pooler_output
    theirs = with_pooler.run(with_pooler.model.longformer, input_ids=QUESTIONS, attention_mask=np.ones_like(MASK))
    last = with_pooler.last(QUESTIONS, np.ones_like(MASK), np.zeros_like(MASK))
    assert_agree(theirs.pooler_output, pooled, sigma_bound(with_pooler.pooled(last, "longformer.pooler.dense")))


@pytest.mark.parametrize("given", [False, True])
def test_sequence_classification_makes_the_first_token_global(peers: SimpleNamespace, given: bool) -> None:
    both = Pair(peers, "LongformerForSequenceClassification")
    labels, first = np.array([2, 0]), np.zeros_like(MASK)
    first[:, 0] = 1
    flags = QUESTION if given else first
    options = {"attention_mask": MASK} | ({"global_attention_mask": flags} if given else {})
    theirs = both.run(both.model, input_ids=QUESTIONS, labels=labels, **options)
    ours = longformer_sequence_classification(both.state, both.config, QUESTIONS, labels=labels, **options)
    pooled = both.pooled(both.last(QUESTIONS, MASK, flags), "classifier.dense")
    bound = sigma_bound(both.linear("classifier.out_proj", pooled))
    assert_agree(theirs.logits, ours.logits, bound)
    assert_agree(theirs.loss, ours.loss, cross_entropy_bound(ours.logits, 2, FLOAT32, bound))
    none = longformer_sequence_classification(
        both.state, both.config, QUESTIONS, attention_mask=MASK, global_attention_mask=np.zeros_like(MASK)
    )
    assert not judge(theirs.logits, none.logits, bound).passed  # the wrong one: nothing is global


@pytest.mark.parametrize("given", [False, True])
def test_question_answering_makes_the_question_global(peers: SimpleNamespace, given: bool) -> None:
    both = Pair(peers, "LongformerForQuestionAnswering", num_labels=2)
    flags = BEHIND if given else QUESTION
    options = {"attention_mask": MASK} | ({"global_attention_mask": flags} if given else {})
    positions = {"start_positions": np.array([5, 40]), "end_positions": np.array([6, 7])}
    theirs = both.run(both.model, input_ids=QUESTIONS, **options, **positions)
    ours = longformer_question_answering(both.state, both.config, QUESTIONS, **options, **positions)
    bound = sigma_bound(both.linear("qa_outputs", both.last(QUESTIONS, MASK, flags)))
    assert_agree(theirs.start_logits, ours.start_logits, bound.at((..., 0)))
    assert_agree(theirs.end_logits, ours.end_logits, bound.at((..., 1)))
    logits = np.stack([ours.start_logits, ours.end_logits])
    assert_agree(theirs.loss, ours.loss, cross_entropy_bound(logits, 2, FLOAT32, bound))
    wider = QUESTION.copy()
    wider[0, 3], wider[1, 2] = 1, 1  # the wrong one: the separator too
    wrong = longformer_question_answering(
        both.state, both.config, QUESTIONS, attention_mask=MASK, global_attention_mask=wider
    )
    assert not judge(theirs.start_logits, wrong.start_logits, bound.at((..., 0))).passed


def test_token_classification_has_no_global_tokens(peers: SimpleNamespace) -> None:
    both = Pair(peers, "LongformerForTokenClassification")
    labels = np.where(QUESTIONS == PAD, -100, QUESTIONS % 3)
    theirs = both.run(both.model, input_ids=QUESTIONS, attention_mask=MASK, labels=labels)
    ours = longformer_token_classification(both.state, both.config, QUESTIONS, attention_mask=MASK, labels=labels)
    bound = sigma_bound(both.linear("classifier", both.last(QUESTIONS, MASK, np.zeros_like(MASK))))
    assert_agree(theirs.logits, ours.logits, bound)
    assert_agree(theirs.loss, ours.loss, cross_entropy_bound(ours.logits, int(MASK.sum()), FLOAT32, bound))


def test_multiple_choice_makes_the_choices_global(peers: SimpleNamespace) -> None:
    both = Pair(peers, "LongformerForMultipleChoice")
    ids, mask = QUESTIONS[None], MASK[None]  # one question, two choices
    theirs = both.run(both.model, input_ids=ids, attention_mask=mask, labels=np.array([1]))
    ours = longformer_multiple_choice(
        both.state, both.config, ids, attention_mask=mask, labels=np.array([1]), output_attentions=True
    )
    pooled = both.pooled(both.last(QUESTIONS, MASK, BEHIND), "longformer.pooler.dense")
    logits = both.linear("classifier", pooled)
    bound = sigma_bound(Moments(logits.value.reshape(1, 2), logits.variance.reshape(1, 2)))
    assert_agree(theirs.logits, ours.logits, bound)
    assert_agree(theirs.loss, ours.loss, cross_entropy_bound(ours.logits, 1, FLOAT32, bound))
    assert ours.global_attentions is not None
    assert ours.global_attentions[0].shape == (2, 4, TOKENS, 8)
    wrong = longformer_multiple_choice(
        both.state, both.config, ids, attention_mask=mask, global_attention_mask=QUESTION[None]
    )
    assert not judge(theirs.logits, wrong.logits, bound).passed


def test_words_given_as_embeddings_have_the_first_token_or_nothing_global(peers: SimpleNamespace) -> None:
    both, ids = Pair(peers, "LongformerForSequenceClassification"), QUESTIONS[1:]
    words = both.state["longformer.embeddings.word_embeddings.weight"][ids]
    from_words = longformer_sequence_classification(both.state, both.config, inputs_embeds=words)
    assert judge_exact(
        from_words.logits, longformer_sequence_classification(both.state, both.config, ids).logits
    ).passed
    state = both.state | {"qa_outputs.weight": np.eye(2, 16), "qa_outputs.bias": np.zeros(2)}
    none = longformer_question_answering(state, both.config, inputs_embeds=words, output_attentions=True)
    assert none.global_attentions is None
    assert none.loss is None


def test_global_tokens_of_the_tasks() -> None:
    assert first_separator(QUESTIONS, SEP).tolist() == [3, 2]
    assert judge_exact(behind_the_question(QUESTIONS, SEP), BEHIND).passed


@pytest.mark.parametrize(
    ("ids", "got"), [([[0, 5, 2, 7, 8, 2]], "2 in row 0"), ([[0, 2, 2, 7, 2, 1], [2, 2, 2, 5, 6, 2]], "4 in row 1")]
)
def test_separators_are_checked_row_by_row(ids: list[list[int]], got: str) -> None:
    message = rf"input_ids: expected 3 separators \(id 2\) in every row, or a global_attention_mask, got {got}"
    config = LongformerConfig(**SIZES)
    with pytest.raises(ValueError, match=message):
        longformer_question_answering({}, config, np.array(ids))
    with pytest.raises(ValueError, match=message):
        longformer_multiple_choice({}, config, np.array([ids]))
