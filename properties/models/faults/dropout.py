"""Seeded faults of dropout."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.models.faults.fault import faulty_candidate
from trueband.properties.models.faults.training import EVERYWHERE, replaced
from trueband.properties.models.model import Model
from trueband.properties.models.training import Batches, Regime, Trained, rates, with_rates
from trueband.properties.models.witness import ReferenceModels
from trueband.reference.dropout import Dropout, Keep


class FaultyDropout(ReferenceModels):
    """The reference, with another choice of what is kept."""

    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        right = super().keep(model, batch, regime)

        def keep(place: str, kind: str, shape: tuple[int, ...]) -> Any:
            return self.chosen(right, place, kind, shape)

        return keep

    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return right(place, kind, shape)


@faulty_candidate("dropout acts in evaluation", EVERYWHERE, "dropout_seeds")
class DropoutInEvaluation(ReferenceModels):
    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        return super().keep(model, batch, replace(regime, training=True))


@faulty_candidate("the seed is ignored", EVERYWHERE, "dropout_seeds embedding_dropout")
class SeedIgnored(ReferenceModels):
    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        return super().keep(model, batch, replace(regime, seed=7))


@faulty_candidate("a step is not determined by its seed", EVERYWHERE, "dropout_seeds")
class NotSeeded(ReferenceModels):
    random = np.random.default_rng(5)

    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        return super().keep(model, batch, replace(regime, seed=int(self.random.integers(2**40))))


@faulty_candidate("every batch of a step drops the same", EVERYWHERE, "dropout_seeds embedding_dropout")
class SameInEveryBatch(ReferenceModels):
    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        return super().keep(model, 0, regime)


@faulty_candidate("p is the rate of what is kept", EVERYWHERE, "embedding_dropout dropout_sites")
class KeepRate(ReferenceModels):
    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        turned = {kind: 1 - p if p else 0.0 for kind, p in rates(model).items()}
        return Dropout(regime.seed * 1000 + batch, turned if regime.training else {})


@faulty_candidate("what is kept is not scaled", EVERYWHERE, "embedding_dropout dropout_sites")
class NotScaled(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return 1.0 * (right(place, kind, shape) != 0)


@faulty_candidate("probabilities are normalized again after dropout", EVERYWHERE, "dropout_sites")
class NormalizedAgain(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        from trueband.reference.full_attention_vjp import full_attention as right

        def full_attention(query: Any, key: Any, value: Any, visible: Any, keep: Any = 1.0, *rest: Any) -> Any:
            return right(query, key, value, visible & (np.asarray(keep) != 0), 1.0, *rest)

        with replaced("full_attention", full_attention):
            return super().train(model, batches, regime)


@faulty_candidate("dropout acts on the scores, before the softmax", EVERYWHERE, "dropout_sites")
class BeforeSoftmax(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return 1.0 if kind == "attention" else right(place, kind, shape)


@faulty_candidate("every layer drops the same", EVERYWHERE, "dropout_sites")
class SameInEveryLayer(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return right(re.sub(r"\d+", "", place), kind, shape)


@faulty_candidate("every row of the batch drops the same", EVERYWHERE, "dropout_sites")
class SameInEveryRow(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return right(place, kind, (1, *shape[1:]))


@faulty_candidate("every head drops the same", EVERYWHERE, "dropout_sites")
class SameInEveryHead(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return right(place, kind, (shape[0], 1, *shape[2:]) if kind == "attention" else shape)


@faulty_candidate("the embeddings are not dropped", EVERYWHERE, "embedding_dropout")
class EmbeddingsKept(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return 1.0 if place.endswith(("embeddings", "coder")) else right(place, kind, shape)


@faulty_candidate("what the attention adds is not dropped", EVERYWHERE, "dropout_sites")
class AttentionOutputKept(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return 1.0 if "attn" in place or "attention.output" in place else right(place, kind, shape)


@faulty_candidate("tokens are dropped as a whole", EVERYWHERE, "embedding_dropout dropout_sites")
class WholeTokens(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        kept = right(place, kind, (*shape[:-1], 1)) if kind == "hidden" else right(place, kind, shape)
        return np.broadcast_to(kept, shape) if isinstance(kept, np.ndarray) else kept


@faulty_candidate("the inside of the feed-forward is not dropped", "led", "dropout_sites")
class ActivationKept(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return 1.0 if kind == "activation" else right(place, kind, shape)


class DropsAnew(ReferenceModels):
    """The gradients are those of a step that drops other elements."""

    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        trained = super().train(model, batches, regime)
        if not self.anew(regime):
            return trained
        return replace(
            trained, gradients=super().train(model, batches, replace(regime, seed=regime.seed + 1)).gradients
        )

    def anew(self, regime: Regime) -> bool:
        return True


@faulty_candidate("the backward pass drops other elements", EVERYWHERE, "dropout_gradients")
class BackwardDropsAnew(DropsAnew):
    pass


@faulty_candidate(
    "with checkpointing other elements are dropped the second time",
    EVERYWHERE,
    "dropout_gradients",
    "pytorch: checkpoint(preserve_rng_state=False)",
)
class CheckpointDropsAnew(DropsAnew):
    def anew(self, regime: Regime) -> bool:
        return regime.checkpointing


class ForgetsMask(ReferenceModels):
    """The gradients are those of a step in which one kind of dropout is off."""

    kind = ""

    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        trained = super().train(model, batches, regime)
        left = {kind: 0.0 if kind == self.kind else p for kind, p in rates(model).items() if kind != "head"}
        return replace(trained, gradients=super().train(with_rates(model, **left), batches, regime).gradients)


@faulty_candidate("the backward pass forgets what was dropped of probabilities", EVERYWHERE, "dropout_gradients")
class AttentionForgetsMask(ForgetsMask):
    kind = "attention"


@faulty_candidate("the backward pass forgets what was dropped inside a feed-forward", "led", "dropout_gradients")
class ActivationForgetsMask(ForgetsMask):
    kind = "activation"


@faulty_candidate("the backward pass forgets what was dropped of hidden states", EVERYWHERE, "dropout_gradients")
class HiddenForgetsMask(ForgetsMask):
    kind = "hidden"


class EncoderAnew(ReferenceModels):
    """Other elements are dropped in the encoder."""

    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        right, other = super().keep(model, batch, regime), super().keep(model, batch, replace(regime, seed=99))

        def keep(place: str, kind: str, shape: tuple[int, ...]) -> Any:
            return (other if ".encoder.layers" in place else right)(place, kind, shape)

        return keep


@faulty_candidate("with checkpointing the encoder drops other elements the second time", "led", "dropout_gradients")
class EncoderDropsAnew(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        trained = super().train(model, batches, regime)
        if not regime.checkpointing:
            return trained
        return replace(trained, gradients=EncoderAnew().train(model, batches, regime).gradients)


class HeadRates(ReferenceModels):
    """The head drops at another rate, or in evaluation."""

    in_evaluation = False

    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        if not regime.training and not self.in_evaluation:
            return super().keep(model, batch, regime)
        named_rates = rates(model) if regime.training else {"head": rates(model)["head"]}
        return Dropout(regime.seed * 1000 + batch, named_rates | {"head": self.rate(named_rates)})

    def rate(self, named_rates: dict[str, float]) -> float:
        return named_rates["head"]


@faulty_candidate("the head drops 0.95 whatever rate it has", EVERYWHERE, "head_dropout")
class HeadRateFixed(HeadRates):
    def rate(self, named_rates: dict[str, float]) -> float:
        return 0.95 if named_rates["head"] else 0.0


@faulty_candidate(
    "a rate of 0 for the head is taken for none, so that it is that of hidden states", "xlm-roberta led", "head_dropout"
)
class HeadRateOr(HeadRates):
    def rate(self, named_rates: dict[str, float]) -> float:
        return named_rates["head"] or named_rates["hidden"]


@faulty_candidate("the head does not drop", EVERYWHERE, "head_dropout")
class HeadKeeps(HeadRates):
    def rate(self, named_rates: dict[str, float]) -> float:
        return 0.0


@faulty_candidate("the head drops in evaluation", EVERYWHERE, "head_dropout")
class HeadDropsInEvaluation(HeadRates):
    in_evaluation = True


@faulty_candidate("the head does not drop behind its tanh", EVERYWHERE, "head_dropout")
class HeadInsideKept(FaultyDropout):
    def chosen(self, right: Keep, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return 1.0 if place == "classifier.dense" else right(place, kind, shape)


@faulty_candidate("the backward pass of the head drops other elements", EVERYWHERE, "head_dropout")
class HeadDropsAnew(DropsAnew):
    pass
