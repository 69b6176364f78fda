"""Heads of XLM-RoBERTa and Longformer against those of transformers and of the reference: outputs, losses, gradients.

The peer's Longformer runs in float32 (in float64 its gradients are NaN where there is padding) and is compared with
that roundoff, all else with float64's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

import trueband.optimized
import trueband.reference.longformer_heads
import trueband.reference.roberta_heads
from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.losses import cross_entropy_bound
from trueband.reference.longformer_heads import behind_the_question, first_separator

POSITIONS = {"start_positions": torch.tensor([0, 3, 99, 5]), "end_positions": torch.tensor([1, 12, 5, 8])}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, torch.Tensor]]] = {
    "single label": ("SequenceClassification", {"num_labels": 3}, {"labels": torch.tensor([0, 2, 1, 1])}),
    "several labels": ("SequenceClassification", {"num_labels": 3}, {"labels": torch.tensor([[0.0, 1, 1]] * 4)}),
    "regression": ("SequenceClassification", {"num_labels": 1}, {"labels": torch.tensor([0.5, -1, 2, 0])}),
    "tokens": ("TokenClassification", {"num_labels": 3}, {"labels": torch.arange(52).view(4, 13) % 4 % 3}),
    "choices": ("MultipleChoice", {}, {"labels": torch.tensor([1, 0])}),
    "answers": ("QuestionAnswering", {}, POSITIONS),
}


def inputs(batch: Any, name: str) -> dict[str, torch.Tensor]:
    """Ids with three separators in every row, mask; (2, 2, 13) for choices."""
    ids = batch.ids.clone()
    for row, places in enumerate(([2, 3, 8], [6, 7, 12], [3, 4, 12], [5, 6, 11])):
        ids[row, places] = 2
    given = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    return {key: value.view(2, 2, 13) for key, value in given.items()} if name == "choices" else given


def make_pair(small: Any, make: Any, family: str, name: str) -> tuple[Any, Any]:
    """Ours and the peer's with the same weights."""
    kind, changed, _ = CASES[name]
    model = make(getattr(trueband.optimized, f"{family}For{kind}"), **changed)
    peer_kind = getattr(transformers, f"{family}For{kind}")
    extra = {"attention_window": 4} if family == "Longformer" else {"attn_implementation": "eager"}
    peer = peer_kind(peer_kind.config_class(**small, **changed, **extra)).double().eval()
    assert set(peer.state_dict()) == set(model.state_dict())
    peer.load_state_dict(model.state_dict(), strict=True)
    return model, peer.float() if family == "Longformer" else peer


def run(model: Any, given: Any, labels: Any) -> Any:
    dtype = next(model.parameters()).dtype
    return model(
        **given, **{key: value.to(dtype) if value.is_floating_point() else value for key, value in labels.items()}
    )


def rows(family: str, name: str, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inputs with every choice a row of its own, and the tokens that the head makes global by itself."""
    flat = {key: value.reshape(-1, 13) for key, value in given.items()}
    if family == "Longformer":
        ids, flags = flat["input_ids"].numpy(), torch.zeros(flat["input_ids"].shape, dtype=torch.bool)
        if CASES[name][0] == "SequenceClassification":
            flags[:, 0] = True
        if name == "answers":
            flags = torch.tensor(np.arange(13) < first_separator(ids, 2)[:, None])
        if name == "choices":
            flags = torch.tensor(behind_the_question(ids, 2))
        flat["global_attention_mask"] = flags
    return flat


@pytest.mark.parametrize("family", ["XLMRoberta", "Longformer"])
@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "-"))
def test_a_head(
    small: Any,
    make: Any,
    batch: Any,
    moments_of: Any,
    sigmas: Any,
    same: Any,
    flat: Any,
    classification_bound: Any,
    family: str,
    name: str,
) -> None:
    (model, peer), labels, given = make_pair(small, make, family, name), CASES[name][2], inputs(batch, name)
    dtypes = ("float64", "float32" if family == "Longformer" else "float64")
    moments = [moments_of(model, rows(family, name, given), dtype) for dtype in dtypes]
    bounds = sigmas(*moments)
    fields = ["start_logits", "end_logits"] if name == "answers" else ["logits"]
    values = np.concatenate([moments[0][field].value for field in fields])
    error = Bound({"logits": np.concatenate([bounds[field].total for field in fields])})
    precision = Precision.of(dtypes[1])
    if name in ("several labels", "regression"):
        loss = classification_bound(values, labels["labels"].numpy(), precision, error)
    else:
        loss = cross_entropy_bound(values, values[..., 0].size, precision, error)
    bounds["loss"] = loss

    ours, theirs = (
        {key: value for key, value in flat(run(each, given, labels)).items() if key in ("loss", *fields)}
        for each in (model, peer)
    )
    same(ours, theirs, bounds)
    exact = expected(family, CASES[name][0], model, given, labels)
    same({"loss": ours["loss"]}, {"loss": exact}, bounds)
    given["attention_mask"][..., 2] = 0  # the wrong one: a token less is seen
    wrong = {key: value for key, value in flat(run(model, given, labels)).items() if key in fields}
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(wrong, {key: theirs[key] for key in fields}, bounds)


@pytest.mark.parametrize("family", ["XLMRoberta", "Longformer"])
@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "-"))
def test_gradients_of_a_head(
    small: Any, make: Any, batch: Any, gradient_bounds: Any, same: Any, family: str, name: str
) -> None:
    (model, peer), labels, given = make_pair(small, make, family, name), CASES[name][2], inputs(batch, name)
    skipped: tuple[str, ...] = ("key.bias", "key_global.bias")  # a softmax does not see them: 0 but for the rounding
    if name == "answers":  # nor does that over the tokens see what all tokens share
        skipped += ("layer.1.output.LayerNorm.bias", "qa_outputs.bias")

    def gradients(model: Any) -> dict[str, torch.Tensor]:
        model.zero_grad()
        run(model, given, labels).loss.backward()
        grads = {key: weight.grad for key, weight in model.named_parameters() if weight.grad is not None}
        return {key: grad.clone() for key, grad in grads.items() if not key.endswith(skipped)}

    bounds = gradient_bounds(model, gradients, "float32" if family == "Longformer" else "float64")
    ours, theirs = gradients(model), gradients(peer)
    same(ours, {key: value for key, value in theirs.items() if key in ours}, bounds)
    given["attention_mask"][..., 2] = 0  # the wrong one: a token less is seen
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(gradients(model), {key: value for key, value in theirs.items() if key in ours}, bounds)


def expected(family: str, kind: str, model: Any, given: Any, labels: Any) -> np.ndarray:
    """The loss of the reference."""
    heads = trueband.reference.roberta_heads if family == "XLMRoberta" else trueband.reference.longformer_heads
    words = {"SequenceClassification": "sequence_classification", "TokenClassification": "token_classification"}
    words |= {"MultipleChoice": "multiple_choice", "QuestionAnswering": "question_answering"}
    prefix = "roberta" if family == "XLMRoberta" else "longformer"
    function = getattr(heads, f"{prefix}_{words[kind]}")
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    options = {key: value.numpy() for key, value in {**given, **labels}.items()}
    return np.asarray(function(state, model.config, options.pop("input_ids"), **options).loss)


def test_what_is_global_by_itself(make: Any, batch: Any) -> None:
    """The first token; the question; the choice. A mask that is given replaces it."""
    for kind, name, where in (
        ("SequenceClassification", "single label", [[0]] * 4),
        ("QuestionAnswering", "answers", [list(range(n)) for n in (2, 6, 3, 5)]),
        ("MultipleChoice", "choices", [list(range(n, 13)) for n in (4, 8, 5, 7)]),
    ):
        model, given = make(getattr(trueband.optimized, f"LongformerFor{kind}")), inputs(batch, name)
        flags = torch.zeros(4, 13)
        for row, places in enumerate(where):
            flags[row, places] = 1
        flags = flags.view(given["input_ids"].shape)
        for field in ("logits", "start_logits"):
            if hasattr(model(**given), field):
                found = [getattr(model(**given, **more), field) for more in ({}, {"global_attention_mask": flags})]
                assert torch.equal(*found)
                other = model(**given, global_attention_mask=torch.zeros_like(flags))
                assert not torch.equal(getattr(other, field), found[0])


def test_separators_are_checked(make: Any, batch: Any) -> None:
    given = inputs(batch, "answers")
    given["input_ids"][2, 9] = 2
    model = make(trueband.optimized.LongformerForQuestionAnswering)
    message = r"input_ids: expected 3 separators \(id 2\) in every row, or a global_attention_mask, got 4 in row 2"
    with pytest.raises(ValueError, match=message):
        model(**given)
    assert model(**given, global_attention_mask=torch.zeros(4, 13)).start_logits.isfinite().all()


def test_wrong_inputs(make: Any) -> None:
    ids = torch.full((2, 5), 7)
    choice = make(trueband.optimized.XLMRobertaForMultipleChoice)
    with pytest.raises(ValueError, match=r"input_ids: expected shape \(batch, choices, tokens\), .*, got \(2, 5\)"):
        choice(ids)
    with pytest.raises(ValueError, match=r"attention_mask: expected shape \(batch, choices, ..\) = \(1, 2\), got"):
        choice(ids[None], attention_mask=torch.ones(2, 5))
    with pytest.raises(ValueError, match="labels: expected ids from 0 to 1, got 2"):
        choice(ids[None], labels=torch.tensor([2]))
    with pytest.raises(ValueError, match=r"labels: expected shape \(batch, labels\) = \(2, 2\), got \(2, 3\)"):
        make(trueband.optimized.XLMRobertaForSequenceClassification)(ids, labels=torch.ones(2, 3))
    with pytest.raises(TypeError, match=r"end_positions: expected dtype int64 or int32, got torch\.float32"):
        make(trueband.optimized.XLMRobertaForQuestionAnswering)(ids, end_positions=torch.ones(2))
