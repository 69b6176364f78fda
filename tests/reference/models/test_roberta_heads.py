"""XLM-RoBERTa with every head, as encoder and as decoder, against the peer in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers

from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.encoder_variance import lm_head_moments, squashed_moments
from trueband.properties.bounds.layer_variance import linear_of
from trueband.properties.bounds.losses import (
    binary_cross_entropy_bound,
    cross_entropy_bound,
    mean_squared_error_bound,
)
from trueband.properties.bounds.model_variance import roberta_moments
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.results.verdict import judge, judge_exact
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.losses import cross_entropy
from trueband.reference.roberta import roberta_causal_lm, roberta_masked_lm, roberta_model
from trueband.reference.roberta_heads import (
    roberta_multiple_choice,
    roberta_question_answering,
    roberta_sequence_classification,
    roberta_token_classification,
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
    "initializer_range": 0.5,
}
FLOAT64 = Precision.of("float64")
PAD, TOKENS = 1, 12


class Pair:
    """The peer's model of a class, and ours with the same weights."""

    def __init__(self, peers: SimpleNamespace, name: str, **changes: Any) -> None:
        sizes = SIZES | {"attn_implementation": "eager"} | changes
        self.run = peers.run
        config = transformers.XLMRobertaConfig(**sizes)
        self.model = peers.peer(name, config)
        self.config = XLMRobertaConfig.from_dict(sizes)
        self.state = peers.state_of(self.model)

    def ids(self, seed: int = 0, pad: int = PAD) -> np.ndarray:
        ids = np.random.default_rng(seed).integers(3, 30, size=(3, TOKENS))
        ids[0, -3:], ids[1, :2] = pad, pad  # right, left, none
        return ids

    def mask(self, ids: np.ndarray) -> np.ndarray:
        return (ids != self.config.pad_token_id).astype(np.int64)

    def moments(self, ids: np.ndarray, encoded: np.ndarray | None = None, real: np.ndarray | None = None) -> Any:
        """Of every output of the model."""
        return roberta_moments(
            self.state,
            self.config,
            ids,
            FLOAT64,
            attention_mask=self.mask(ids),
            encoder_hidden_states=encoded,
            encoder_attention_mask=real,
        )

    def last(self, ids: np.ndarray, encoded: np.ndarray | None = None, real: np.ndarray | None = None) -> Moments:
        last: Moments = self.moments(ids, encoded, real)["last_hidden_state"]
        return last

    def linear(self, name: str, x: Moments) -> Moments:
        return linear_of(self.state, name, x, FLOAT64)

    def pooled(self, ids: np.ndarray, name: str) -> Moments:
        return squashed_moments(self.state, name, self.last(ids).at(np.s_[:, 0]), FLOAT64)


def pair(peers: SimpleNamespace, name: str, **changes: Any) -> Pair:
    return Pair(peers, name, **changes)


def assert_agree(actual: Any, expected: Any, bound: Bound, where: Any = ...) -> None:
    verdict = judge(actual[where], expected[where], bound.at(where))
    assert verdict.passed, verdict


def test_pooler_on_and_off(peers: SimpleNamespace) -> None:
    both = pair(peers, "XLMRobertaForMultipleChoice")  # the one with a pooler
    ids = both.ids()
    theirs = both.run(both.model.roberta, input_ids=ids, attention_mask=both.mask(ids))
    ours = roberta_model(both.state, both.config, ids, attention_mask=both.mask(ids), prefix="roberta.")
    assert ours.pooler_output is not None
    assert_agree(theirs.last_hidden_state, ours.last_hidden_state, sigma_bound(both.last(ids)))
    bound = sigma_bound(both.pooled(ids, "roberta.pooler.dense"))
    assert_agree(theirs.pooler_output, ours.pooler_output, bound)
    without = roberta_model(both.state, both.config, ids, add_pooling_layer=False, prefix="roberta.")
    assert without.pooler_output is None


@pytest.mark.parametrize("pad", [1, 4])
def test_masked_lm(peers: SimpleNamespace, pad: int) -> None:
    both = pair(peers, "XLMRobertaForMaskedLM", pad_token_id=pad)
    ids = both.ids(1, pad)
    ids[2, 4] = 7 if pad == 4 else 4
    labels = np.where(np.random.default_rng(2).uniform(size=ids.shape) < 0.4, ids, -100)
    theirs = both.run(
        both.model,
        input_ids=ids,
        attention_mask=both.mask(ids),
        labels=labels,
        output_attentions=True,
        output_hidden_states=True,
    )
    ours = roberta_masked_lm(
        both.state, both.config, ids, attention_mask=both.mask(ids), labels=labels, output_attentions=True
    )
    bound = sigma_bound(lm_head_moments(both.state, "roberta.", both.config, both.last(ids), FLOAT64))
    assert_agree(theirs.logits, ours.logits, bound)
    count = int((labels != -100).sum())
    assert_agree(theirs.loss, np.array(ours.loss), cross_entropy_bound(ours.logits, count, FLOAT64, bound))
    assert len(ours.hidden_states) == len(theirs.hidden_states) == 3
    assert ours.attentions is not None
    assert [each.shape for each in ours.attentions] == [each.shape for each in theirs.attentions]
    for i in range(2):
        bound = sigma_bound(both.moments(ids)[f"attentions.{i}"])
        assert_agree(theirs.attentions[i], ours.attentions[i], bound)


def causal_case(both: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    ids, encoded = both.ids(3), rng.standard_normal((3, 5, 16))
    real = np.ones((3, 5), dtype=np.int64)
    real[0, 3:] = 0
    return ids, encoded, real, np.where(ids == PAD, -100, ids)


@pytest.mark.parametrize("cross", [False, True])
def test_causal_lm(peers: SimpleNamespace, cross: bool) -> None:
    both = pair(peers, "XLMRobertaForCausalLM", is_decoder=True, add_cross_attention=cross)
    ids, encoded, real, labels = causal_case(both)
    options: dict[str, Any] = {"attention_mask": both.mask(ids)}
    if cross:
        options |= {"encoder_hidden_states": encoded, "encoder_attention_mask": real}
    theirs = both.run(both.model, input_ids=ids, use_cache=False, output_attentions=True, **options)
    ours = roberta_causal_lm(both.state, both.config, ids, labels=labels, output_attentions=True, **options)
    last = both.last(ids, encoded, real) if cross else both.last(ids)
    bound = sigma_bound(lm_head_moments(both.state, "roberta.", both.config, last, FLOAT64))
    real_rows = both.mask(ids) == 1  # a pad in front sees nothing: 0 here, a mean of everything there
    assert_agree(theirs.logits, ours.logits, bound, real_rows)
    assert not judge(theirs.logits, ours.logits, bound).passed
    assert ours.loss == cross_entropy(ours.logits[:, :-1], labels[:, 1:])
    assert ours.attentions is not None
    assert all((np.triu(each, 1) == 0).all() for each in ours.attentions)
    if cross:
        assert ours.cross_attentions is not None
        assert [each.shape for each in ours.cross_attentions] == [each.shape for each in theirs.cross_attentions]
        assert (ours.cross_attentions[0][0, :, :, 3:] == 0).all()
    else:
        assert ours.cross_attentions is None


def test_the_loss_of_a_causal_lm_looks_one_token_ahead(peers: SimpleNamespace) -> None:
    both = pair(peers, "XLMRobertaForCausalLM", is_decoder=True)
    ids = np.random.default_rng(4).integers(3, 30, size=(2, 9))
    theirs = both.run(both.model, input_ids=ids, labels=ids, use_cache=False)
    ours = roberta_causal_lm(both.state, both.config, ids, labels=ids)
    float32 = Precision.of("float32")  # in which the peer takes this loss, of logits rounded to it
    logits = sigma_bound(lm_head_moments(both.state, "roberta.", both.config, both.last(ids), FLOAT64))
    logits += Bound({"stored": float32.accumulator * np.abs(ours.logits)})
    bound = cross_entropy_bound(ours.logits, 16, float32, logits)
    assert_agree(theirs.loss, np.array(ours.loss), bound)
    same_token = cross_entropy(ours.logits, ids)  # the wrong one: labels not shifted
    assert not judge(theirs.loss, same_token, bound).passed


def test_a_decoder_that_looks_ahead_is_rejected(peers: SimpleNamespace) -> None:
    both = pair(peers, "XLMRobertaForCausalLM", is_decoder=True)
    ids = np.random.default_rng(5).integers(3, 30, size=(2, 9))
    theirs = both.run(both.model, input_ids=ids, use_cache=False)
    bound = sigma_bound(lm_head_moments(both.state, "roberta.", both.config, both.last(ids), FLOAT64))
    assert_agree(theirs.logits, roberta_causal_lm(both.state, both.config, ids).logits, bound)
    ahead = XLMRobertaConfig(**SIZES)
    assert not judge(theirs.logits, roberta_causal_lm(both.state, ahead, ids).logits, bound).passed


def test_left_padding_changes_nothing_for_a_decoder(peers: SimpleNamespace) -> None:
    both = pair(peers, "XLMRobertaForCausalLM", is_decoder=True)
    ids = np.random.default_rng(6).integers(3, 30, size=(1, 6))
    padded = np.concatenate([np.full((1, 3), PAD), ids], axis=1)
    plain = roberta_causal_lm(both.state, both.config, ids).logits
    bound = sigma_bound(lm_head_moments(both.state, "roberta.", both.config, both.last(ids), FLOAT64))
    ours = roberta_causal_lm(both.state, both.config, padded, attention_mask=both.mask(padded)).logits
    assert_agree(ours[:, 3:], plain, bound)
    counted = np.arange(2, 11)[None]  # the wrong one: positions that count the pads
    wrong = roberta_causal_lm(
        both.state, both.config, padded, attention_mask=both.mask(padded), position_ids=counted
    ).logits
    assert not judge(wrong[:, 3:], plain, bound).passed


@pytest.mark.parametrize(
    ("num_labels", "problem_type"),
    [
        (1, None),
        (3, None),
        (3, "regression"),
        (3, "single_label_classification"),
        (3, "multi_label_classification"),
        (1, "regression"),
    ],
)
def test_sequence_classification(peers: SimpleNamespace, num_labels: int, problem_type: str | None) -> None:
    both = pair(peers, "XLMRobertaForSequenceClassification", num_labels=num_labels, problem_type=problem_type)
    ids, rng = both.ids(7), np.random.default_rng(8)
    if num_labels == 3 and problem_type in (None, "single_label_classification"):
        labels: np.ndarray = np.array([2, 0, 1])
    elif num_labels == 1:
        labels = rng.standard_normal(3)
    else:
        labels = rng.uniform(size=(3, 3)).round()
    theirs = both.run(both.model, input_ids=ids, attention_mask=both.mask(ids), labels=labels)
    ours = roberta_sequence_classification(both.state, both.config, ids, attention_mask=both.mask(ids), labels=labels)
    logits = both.linear("classifier.out_proj", both.pooled(ids, "classifier.dense"))
    bound = sigma_bound(logits)
    assert_agree(theirs.logits, ours.logits, bound)
    assert ours.loss is not None
    if labels.dtype == np.int64:
        loss_bound = cross_entropy_bound(ours.logits, 3, FLOAT64, bound)
    elif problem_type == "multi_label_classification":
        loss_bound = binary_cross_entropy_bound(ours.logits, FLOAT64, bound)
    else:
        loss_bound = mean_squared_error_bound(ours.logits, labels.reshape(ours.logits.shape), FLOAT64, bound)
    assert_agree(theirs.loss, np.array(ours.loss), loss_bound)


def test_multiple_choice(peers: SimpleNamespace) -> None:
    both = pair(peers, "XLMRobertaForMultipleChoice")
    ids = np.stack([both.ids(9), both.ids(10)])  # (2, 3, n): two questions, three choices
    labels = np.array([2, 0])
    theirs = both.run(both.model, input_ids=ids, attention_mask=both.mask(ids), labels=labels)
    ours = roberta_multiple_choice(both.state, both.config, ids, attention_mask=both.mask(ids), labels=labels)
    moments = both.linear("classifier", both.pooled(ids.reshape(6, TOKENS), "roberta.pooler.dense"))
    bound = sigma_bound(Moments(moments.value.reshape(2, 3), moments.variance.reshape(2, 3)))
    assert_agree(theirs.logits, ours.logits, bound)
    assert_agree(theirs.loss, np.array(ours.loss), cross_entropy_bound(ours.logits, 2, FLOAT64, bound))
    words = both.state["roberta.embeddings.word_embeddings.weight"][ids[:, :, 2:9]]
    embedded = roberta_multiple_choice(both.state, both.config, inputs_embeds=words)
    assert judge_exact(embedded.logits, roberta_multiple_choice(both.state, both.config, ids[:, :, 2:9]).logits).passed


def test_token_classification(peers: SimpleNamespace) -> None:
    both = pair(peers, "XLMRobertaForTokenClassification", num_labels=5)
    ids = both.ids(11)
    labels = np.where(ids == PAD, -100, ids % 5)
    theirs = both.run(both.model, input_ids=ids, attention_mask=both.mask(ids), labels=labels)
    ours = roberta_token_classification(both.state, both.config, ids, attention_mask=both.mask(ids), labels=labels)
    bound = sigma_bound(both.linear("classifier", both.last(ids)))
    assert_agree(theirs.logits, ours.logits, bound)
    count = int((labels != -100).sum())
    assert_agree(theirs.loss, np.array(ours.loss), cross_entropy_bound(ours.logits, count, FLOAT64, bound))


def test_question_answering(peers: SimpleNamespace) -> None:
    both = pair(peers, "XLMRobertaForQuestionAnswering")
    ids, start, end = both.ids(12), np.array([1, 50, 3]), np.array([4, 50, 12])  # 50 and 12: outside, not counted
    mask = both.mask(ids)
    theirs = both.run(both.model, input_ids=ids, attention_mask=mask, start_positions=start, end_positions=end)
    ours = roberta_question_answering(
        both.state, both.config, ids, attention_mask=mask, start_positions=start, end_positions=end
    )
    bound = sigma_bound(both.linear("qa_outputs", both.last(ids)))
    assert_agree(theirs.start_logits, ours.start_logits, bound.at((..., 0)))
    assert_agree(theirs.end_logits, ours.end_logits, bound.at((..., 1)))
    both_logits = np.stack([ours.start_logits, ours.end_logits])
    assert_agree(theirs.loss, np.array(ours.loss), cross_entropy_bound(both_logits, 2, FLOAT64, bound))
    assert not judge(theirs.start_logits, ours.end_logits, bound.at((..., 0))).passed


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("encoder_hidden_states: expected None without add_cross", {"encoder_hidden_states": np.zeros((3, 2, 16))}),
        (r"head_mask: expected shape \(layers, heads\) = \(2, 4\), got \(4,\)", {"head_mask": np.ones(4)}),
        (r"labels: expected shape \(3, 12\), got \(12,\)", {"labels": np.zeros(12, dtype=np.int64)}),
        ("labels: expected ids from 0 to 29, or -100, got 30", {"labels": np.full((3, TOKENS), 30)}),
    ],
)
def test_refused(peers: SimpleNamespace, message: str, options: dict[str, Any]) -> None:
    both = pair(peers, "XLMRobertaForMaskedLM")
    with pytest.raises(ValueError, match=message):
        roberta_masked_lm(both.state, both.config, both.ids(), **options)
