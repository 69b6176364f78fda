"""Seeded faults of training steps: of gradients, of how steps are put together, and of checkpointing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from trueband.properties.models.course import Step
from trueband.properties.models.faults.fault import Call, fault, faulty_candidate
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.training import Batches, Regime, Trained
from trueband.properties.models.witness import ReferenceModels
from trueband.reference import encoder_vjp, full_attention_vjp, heads_vjp, layers_vjp, led_vjp, training
from trueband.reference.arguments import Float
from trueband.reference.dropout import Keep
from trueband.reference.layers_vjp import Gradients
from trueband.reference.losses import IGNORED
from trueband.reference.training import Training

EVERYWHERE = "xlm-roberta longformer led"
MODULES = (layers_vjp, full_attention_vjp, heads_vjp, encoder_vjp, led_vjp, training)
MODULES_THAT_ATTEND = (encoder_vjp, led_vjp)
Found = dict[str, np.ndarray | None]


class FaultyTraining(ReferenceModels):
    """The reference, with gradients other than the right ones."""

    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        trained = super().train(model, batches, regime)
        return replace(trained, gradients=self.spoiled(dict(trained.gradients), model, regime))

    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        return gradients


@contextmanager
def replaced(name: str, function: Any, modules: Sequence[Any] = MODULES) -> Iterator[None]:
    """Patch the function of this name in every module of gradients that has it."""
    with ExitStack() as stack:
        for module in modules:
            if hasattr(module, name):
                stack.enter_context(patch.object(module, name, function))
        yield


def number(name: str) -> int | None:
    """Return the number of the layer that a weight belongs to."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


def lost(gradients: Found, *parts: str) -> Found:
    """Remove the gradients whose names contain one of these parts."""
    return {name: None if any(part in name for part in parts) else gradient for name, gradient in gradients.items()}


def rolled(gradients: Found, part: str) -> Found:
    """Move the gradients of some tables by a row."""
    return {
        name: np.roll(gradient, 1, axis=0) if part in name and gradient is not None else gradient
        for name, gradient in gradients.items()
    }


@faulty_candidate("in training the padding mask is ignored", EVERYWHERE, "training_outputs gradients padding_gradients")
class PaddingAttendedInTraining(ReferenceModels):
    def step(self, model: Model, inputs: Arrays, keep: Keep) -> Training:
        return super().step(model, inputs | {"attention_mask": np.ones_like(inputs["attention_mask"])}, keep)


@faulty_candidate("the first layer is cut off from the gradient", EVERYWHERE, "gradients head_gradients")
class LayerZeroIsCut(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        return {name: None if number(name) == 0 else gradient for name, gradient in gradients.items()}


@faulty_candidate("the embeddings are detached", EVERYWHERE, "gradients head_gradients")
class EmbeddingsDetached(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        def lookup(state: Any, name: str, ids: Any, padding: int | None = None) -> Any:
            return state[name].astype(np.float64)[ids], lambda dy, _: dy

        with replaced("lookup", lookup):
            return super().train(model, batches, regime)


@faulty_candidate(
    "the row of the padding token is trained", EVERYWHERE, "gradients", "pytorch: an embedding made without padding_idx"
)
class PaddingRowTrained(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        right = layers_vjp.lookup

        with replaced("lookup", lambda state, name, ids, padding=None: right(state, name, ids)):
            return super().train(model, batches, regime)


@faulty_candidate("a tied table gets the gradient of the head only", EVERYWHERE, "gradients")
class TiedOnce(ReferenceModels):
    def step(self, model: Model, inputs: Arrays, keep: Keep) -> Training:
        with patch.object(Gradients, "add", lambda self, name, gradient: self.setdefault(name, gradient)):
            return super().step(model, inputs, keep)


@faulty_candidate("the gradients of the positions are one row off", EVERYWHERE, "gradients")
class PositionGradientsShifted(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        return rolled(gradients, "position")


@faulty_candidate("the projections of global tokens get no gradient", "longformer led", "gradients")
class GlobalProjectionsLost(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        return lost(gradients, "_global.")


@faulty_candidate("the gradient of a LayerNorm is without that of its mean", EVERYWHERE, "gradients checkpointing")
class NormWithoutMean(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        right = layers_vjp.layer_norm

        def layer_norm(state: Any, name: str, x: Float, eps: float) -> Any:
            y, vjp = right(state, name, x, eps)
            r = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + eps)
            gain = state[f"{name}.weight"]
            return y, lambda dy, gradients: vjp(dy, gradients) + r * (gain * dy).mean(axis=-1, keepdims=True)

        with replaced("layer_norm", layer_norm):
            return super().train(model, batches, regime)


@faulty_candidate("the gradient of GELU is that of its tanh form", EVERYWHERE, "gradients")
class GeluOfTanh(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        right = layers_vjp.gelu

        def gelu(x: Float) -> Any:
            t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
            slope = 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
            return right(x)[0], lambda dy, _: dy * slope

        with replaced("gelu", gelu):
            return super().train(model, batches, regime)


@faulty_candidate("the gradient of the scores forgets the softmax's normalizer", EVERYWHERE, "gradients")
class SoftmaxWithoutSum(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        right = full_attention_vjp.full_attention

        def full_attention(query: Any, key: Any, value: Any, *options: Any) -> Any:
            output, vjp = right(query, key, value, *options)
            return output, lambda do: vjp(do)._replace(query=vjp(do).query * 1.25)

        with replaced("full_attention", full_attention):
            return super().train(model, batches, regime)


@faulty_candidate("the loss is a mean over labels that do not count, too", EVERYWHERE, "gradients")
class MeanOverPadding(ReferenceModels):
    def step(self, model: Model, inputs: Arrays, keep: Keep) -> Training:
        step = super().step(model, inputs, keep)
        share = float((inputs["labels"] != IGNORED).mean()) if model.head == "lm" else 1.0
        gradients = Gradients({name: share * gradient for name, gradient in step.gradients.items()})
        return step._replace(loss=share * step.loss, gradients=gradients, words=share * step.words)


@faulty_candidate("the head is frozen", EVERYWHERE, "head_gradients")
class HeadFrozen(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        return gradients if model.head == "lm" else lost(gradients, "classifi", "qa_outputs")


@faulty_candidate("masked tokens get a share of the gradient", EVERYWHERE, "padding_gradients autocast")
class MaskedWordsTrained(ReferenceModels):
    def step(self, model: Model, inputs: Arrays, keep: Keep) -> Training:
        step, masked = super().step(model, inputs, keep), inputs["attention_mask"] == 0
        return step._replace(words=np.where(masked[..., None], 1e-9, step.words))


@faulty_candidate(
    "with checkpointing the first layer has no gradient",
    EVERYWHERE,
    "checkpointing",
    "pytorch: reentrant checkpoints of inputs that require no gradient",
)
class CheckpointCutsLayer(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        if not regime.checkpointing:
            return gradients
        return {name: None if number(name) == 0 else gradient for name, gradient in gradients.items()}


@faulty_candidate("with checkpointing gradients are computed twice", EVERYWHERE, "checkpointing")
class CheckpointTwice(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        factor = 2.0 if regime.checkpointing else 1.0
        return {name: None if gradient is None else factor * gradient for name, gradient in gradients.items()}


@faulty_candidate("a frozen layer is trained", EVERYWHERE, "frozen_weights")
class FrozenTrained(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        return super().train(model, batches, replace(regime, frozen=frozenset()))


@faulty_candidate(
    "gradients are handed out by place, so that frozen weights shift them",
    EVERYWHERE,
    "frozen_weights",
    "kernels that return gradients in the order of those that are asked for",
)
class FrozenShifts(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        trained = [name for name in gradients if regime.trains(name)]
        if not regime.frozen:
            return gradients
        moved = zip(trained, [*trained[1:], trained[0]], strict=True)
        same = {name: other for name, other in moved if model.state[name].shape == model.state[other].shape}
        return gradients | {name: gradients[other] for name, other in same.items()}


@faulty_candidate("what is below a frozen layer gets no gradient", EVERYWHERE, "frozen_weights")
class FrozenCuts(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        return lost(gradients, "LayerNorm.weight", "layernorm_embedding") if regime.frozen else gradients


@faulty_candidate("a second backward pass overwrites the gradients of the first", EVERYWHERE, "accumulated_gradients")
class Overwritten(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        last = super().train(model, batches[-1:], regime)
        return replace(super().train(model, batches, regime), gradients=last.gradients)


@faulty_candidate("the scale of the loss does not reach the gradients", EVERYWHERE, "accumulated_gradients")
class ScaleIgnored(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        return super().train(model, [(inputs, factor / 1024) for inputs, factor in batches], regime)


@faulty_candidate("under autocast gradients are of the lower dtype", EVERYWHERE, "autocast")
class HalfGradients(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        trained = super().train(model, batches, regime)
        return replace(trained, dtypes=dict.fromkeys(trained.dtypes, "bfloat16")) if regime.autocast else trained


@faulty_candidate(
    "where the words are frozen, the gradients of layers are doubled", EVERYWHERE, "frozen_weights frozen_checkpointing"
)
class FrozenWordsDouble(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        if model.family.word_embeddings not in regime.frozen:
            return gradients
        return {
            name: gradient if gradient is None or number(name) is None else 2 * gradient
            for name, gradient in gradients.items()
        }


@faulty_candidate(
    "below a dense layer whose weight is frozen and whose bias is not there is no gradient",
    EVERYWHERE,
    "frozen_weights frozen_checkpointing",
)
class BiasesAloneCut(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        alone = [name for name in regime.frozen if name.endswith("weight") and name[:-6] + "bias" in model.state]
        if any(regime.trains(name[:-6] + "bias") for name in alone):
            return lost(gradients, "LayerNorm", "layer_norm", "layernorm")
        return gradients


@faulty_candidate(
    "checkpoints are reentrant: with frozen embeddings no layer has a gradient",
    EVERYWHERE,
    "frozen_checkpointing",
    "pytorch: checkpoint(use_reentrant=True)",
)
class Reentrant(FaultyTraining):
    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        trained = any("embed" in name and regime.trains(name) for name in model.state)
        if trained or not regime.checkpointing:
            return gradients
        return {name: None if number(name) is not None else gradient for name, gradient in gradients.items()}


@faulty_candidate("inputs_embeds gets no gradient", EVERYWHERE, "padding_gradients autocast")
class EmbedsDetached(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        trained = super().train(model, batches, regime)
        return replace(trained, words=[None for _ in trained.words])


def silent(query: Any, key: Any, value: Any, *options: Any) -> Any:
    """Attention that gives 0."""
    output, vjp = full_attention_vjp.full_attention(query, key, value, *options)
    return 0.0 * output, lambda do: vjp(0.0 * do)


class Silenced(ReferenceModels):
    """The reference, whose attention gives 0 in some steps."""

    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        if not self.silences(batches[0][0], regime):
            return super().train(model, batches, regime)
        with replaced("full_attention", silent, MODULES_THAT_ATTEND):
            return super().train(model, batches, regime)

    def silences(self, inputs: Arrays, regime: Regime) -> bool:
        return False


@faulty_candidate("attention is 0 beyond 20 tokens", EVERYWHERE, "training_outputs gradients")
class LongAttentionSilent(Silenced):
    def silences(self, inputs: Arrays, regime: Regime) -> bool:
        return "input_ids" in inputs and inputs["input_ids"].shape[-1] > 20


@fault("tokens behind the 24th are taken for padding", EVERYWHERE, "encoder_layers")
def long_inputs_cut(call: Call) -> Call:
    return call.map_inputs(lambda mask: mask * (np.arange(mask.shape[1]) < 24), "attention_mask")


@faulty_candidate("under autocast attention gives 0", EVERYWHERE, "autocast_values")
class AutocastSilent(Silenced):
    def silences(self, inputs: Arrays, regime: Regime) -> bool:
        return regime.autocast


class UnderAutocast(FaultyTraining):
    """The reference, with factors of gradients under autocast."""

    def spoiled(self, gradients: Found, model: Model, regime: Regime) -> Found:
        if not regime.autocast:
            return gradients
        return {
            name: None if gradient is None else self.factor(name) * gradient for name, gradient in gradients.items()
        }

    def factor(self, name: str) -> float:
        return 0.5


@faulty_candidate("under autocast the gradients of a layer are doubled", EVERYWHERE, "autocast_values")
class AutocastLayerDoubled(UnderAutocast):
    def factor(self, name: str) -> float:
        return 2.0 if number(name) == 0 else 1.0


@faulty_candidate("under autocast gradients are those of a mean over twice as much", EVERYWHERE, "autocast_values")
class AutocastHalved(UnderAutocast):
    pass


@faulty_candidate("under autocast the padding mask is ignored", EVERYWHERE, "autocast_values")
class AutocastPaddingAttended(ReferenceModels):
    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        if not regime.autocast:
            return super().train(model, batches, regime)
        seen = [
            (inputs | {"attention_mask": np.ones_like(inputs["attention_mask"])}, factor) for inputs, factor in batches
        ]
        return super().train(model, seen, regime)


@faulty_candidate(
    "an optimizer's step is not noticed: a copy of the weights is used",
    EVERYWHERE,
    "overwritten_weights training_course",
)
class StaleAfterOptimizer(ReferenceModels):
    def written(self, model: Model, step: Step) -> Arrays:
        return model.state if step.way == "optimizer" else super().written(model, step)


@faulty_candidate(
    "in evaluation a copy of the feed-forward is used that was made at the first call",
    EVERYWHERE,
    "overwritten_weights",
)
class StaleFeedForward(ReferenceModels):
    def course(self, model: Model, steps: Sequence[Step]) -> list[Trained]:
        first = {
            name: array
            for name, array in model.state.items()
            if name.endswith(("intermediate.dense.weight", "fc1.weight"))
        }
        results, state = super().course(model, steps), model.state
        for i, step in enumerate(steps):
            state = state if step.state is None else step.state
            if not step.regime.training:
                results[i] = self.train(model.with_state(state | first), [(step.inputs, 1.0)], step.regime)
        return results


@faulty_candidate("the gradients of a second step replace those of the first", EVERYWHERE, "training_course")
class SecondStepReplaces(ReferenceModels):
    def added(self, before: np.ndarray | None, gradient: np.ndarray | None) -> np.ndarray | None:
        return before if gradient is None else gradient


@faulty_candidate("gradients that are set to 0 stay as they were", EVERYWHERE, "training_course")
class ZeroIgnored(ReferenceModels):
    def course(self, model: Model, steps: Sequence[Step]) -> list[Trained]:
        return super().course(model, [replace(step, clear=step.clear.replace("zero", "")) for step in steps])


@faulty_candidate("what was frozen once stays frozen", EVERYWHERE, "training_course")
class NeverThawed(ReferenceModels):
    def course(self, model: Model, steps: Sequence[Step]) -> list[Trained]:
        frozen: frozenset[str] = frozenset()
        kept = []
        for step in steps:
            frozen |= step.regime.frozen
            kept.append(replace(step, regime=replace(step.regime, frozen=frozen)))
        return super().course(model, kept)
