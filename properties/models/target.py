"""A target of the model checks is a factory of models with the Hub's call signature, and its declarations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trueband.properties.candidate.target import TargetError, load_attribute
from trueband.properties.models.case import ARCHITECTURES, ModelCase
from trueband.properties.models.training import TRAINING
from trueband.reference.config import POSITION_EMBEDDING_TYPES

LEAST_TOKENS = 6  # that the heads of the models ask for


@dataclass(frozen=True)
class ModelTarget:
    """A factory of models under test, and its declarations.

    Attributes:
        factory: `factory(architecture, class_name, config, state)` -> a model in float32 and evaluation mode, with the
            calls and answers of the Hub's class: `model(input_ids=..., attention_mask=...)`, `model.generate(...)`,
            `model.to(dtype)`. config: fields of config.json; state: numpy arrays under the Hub's keys.
        architectures: the architectures that it builds, of "xlm-roberta", "longformer", "led".
        name: its name in reports; None: that of the factory.
        least_window: the least one-sided window it takes. Ours is 1.
        one_window: whether all layers must have the same window.
        whole_windows: whether the length must be a multiple of the two-sided window.
        positions: the values of XLM-RoBERTa's position_embedding_type that it knows; the first one replaces others.
        pruned: whether it builds models of XLM-RoBERTa with pruned heads.
        uneven_chunks: whether a length need not be a multiple of the chunk of the feed-forward.
        deterministic: whether the same call of the same model gives the same, bit for bit. A factory whose order of
            summation changes from call to call (threads, atomics) says False, and is judged by bounds alone.
        training: what its models can do in `.train()`: "gradients", "dropout", "checkpointing" (by
            `gradient_checkpointing_enable()`), "frozen_checkpointing" (that with frozen weights: reentrant checkpoints
            give no gradients then), "autocast" (in `torch.autocast("cpu", torch.bfloat16)`). The others need gradients.
    """

    factory: Callable[[str, str, dict[str, Any], dict[str, Any]], Any]
    architectures: tuple[str, ...] = ARCHITECTURES
    name: str | None = None
    least_window: int = 1
    one_window: bool = False
    whole_windows: bool = False
    positions: tuple[str, ...] = POSITION_EMBEDDING_TYPES
    pruned: bool = True
    uneven_chunks: bool = True
    deterministic: bool = True
    training: tuple[str, ...] = TRAINING

    def __post_init__(self) -> None:
        if not callable(self.factory):
            raise TargetError(f"model target: expected a callable factory, got {type(self.factory).__name__}")
        object.__setattr__(self, "architectures", tuple(self.architectures))
        unknown = sorted(set(self.architectures) - set(ARCHITECTURES))
        if unknown or not self.architectures:
            wrong = ", ".join(unknown) or "none"
            raise TargetError(f"architectures: expected some of {', '.join(ARCHITECTURES)}, got {wrong}")
        if not isinstance(self.least_window, int) or isinstance(self.least_window, bool) or self.least_window < 1:
            raise TargetError(f"least_window: expected an int >= 1, got {self.least_window!r}")
        if not isinstance(self.deterministic, bool):
            raise TargetError(f"deterministic: expected a bool, got {self.deterministic!r}")
        object.__setattr__(self, "positions", tuple(self.positions))
        unknown = sorted(set(self.positions) - set(POSITION_EMBEDDING_TYPES))
        if unknown or not self.positions:
            wrong = ", ".join(unknown) or "none"
            raise TargetError(f"positions: expected some of {', '.join(POSITION_EMBEDDING_TYPES)}, got {wrong}")
        object.__setattr__(self, "training", tuple(self.training))
        unknown = sorted(set(self.training) - set(TRAINING))
        if unknown:
            raise TargetError(f"training: expected some of {', '.join(TRAINING)}, got {', '.join(unknown)}")
        if self.training and "gradients" not in self.training:
            raise TargetError(f"training: expected gradients beside {', '.join(self.training)}, got none")

    @property
    def features(self) -> frozenset[str]:
        """The features of its models, as candidates have them."""
        return frozenset({*self.training, *(["deterministic"] if self.deterministic else [])})

    def fit(self, case: ModelCase) -> ModelCase:
        """Return the nearest case that the models can run; the case itself where nothing is declared."""
        if case.architecture == "xlm-roberta":
            positions = case.positions if case.positions in self.positions else self.positions[0]
            pruned = case.pruned if self.pruned else ()
            return case.replace(positions=positions, pruned=pruned, chunk=case.chunk if self.uneven_chunks else 0)
        windows = tuple(max(window, self.least_window) for window in case.windows)
        if self.one_window or self.whole_windows:
            windows = (windows[0],) * len(windows)
        tokens = case.tokens
        if self.whole_windows:
            size = 2 * windows[0]
            tokens = -(-max(tokens, LEAST_TOKENS) // size) * size
        return case.replace(windows=windows, tokens=tokens)


def load_model_target(spec: str) -> ModelTarget:
    """Load the model target named by `package.module:factory` or `path/file.py:factory`. Raises TargetError."""
    loaded = load_attribute(spec)
    return loaded if isinstance(loaded, ModelTarget) else ModelTarget(loaded)
