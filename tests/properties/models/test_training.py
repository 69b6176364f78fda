"""Models as users write them, wrong in training alone, and what a target says of its training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from trueband.adapters import Named
from trueband.commands.targets import describe
from trueband.properties.candidate.target import TargetError
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.checks.dropout import binomial_tails, judge_count
from trueband.properties.models.model import Model
from trueband.properties.models.target import ModelTarget
from trueband.properties.models.training import TRAINING
from trueband.properties.results.record import Record
from trueband.properties.running.models import run_model_check
from trueband.reports.console import print_report
from trueband.session.model_checks import model_names
from trueband.witnesses.hub_models import HubModels
from trueband.witnesses.models import OptimizedModels

Spoil = Callable[[Any], None]


def made(spoil: Spoil, **options: Any) -> HubModels:
    """The package's models as a target, changed."""

    def factory(architecture: str, class_name: str, config: dict[str, Any], state: dict[str, Any]) -> Any:
        module = OptimizedModels().build(Model(architecture, config, state, "float32"), class_name)
        spoil(module)
        return module

    return HubModels(ModelTarget(factory, **options))


def tried(check: str, architecture: str, candidate: HubModels, cases: int = 30) -> Record:
    one = MODEL_CHECKS[check]
    return run_model_check("changed", candidate, one, architecture, one.dtypes[-1], cases)


def layer_0(module: Any) -> Any:
    base = module.led.encoder.layers if hasattr(module, "led") else None
    return base[0] if base is not None else next(iter(module.children())).encoder.layer[0]


def right(module: Any) -> None:
    """Nothing is changed."""


def padding_ignored(module: Any) -> None:
    """In `.train()` every token is attended."""

    def hook(model: Any, given: Any, named: dict[str, Any]) -> Any:
        if model.training:
            named = named | {"attention_mask": torch.ones_like(named["attention_mask"])}
        return given, named

    module.register_forward_pre_hook(hook, with_kwargs=True)


def layer_cut(module: Any) -> None:
    """What the first layer reads is detached."""
    layer_0(module).register_forward_pre_hook(lambda _, given: (given[0].detach(), *given[1:]))


def weights_cut(module: Any) -> None:
    """The weights of the first layer are never trained."""
    for parameter in layer_0(module).parameters():
        parameter.register_hook(torch.zeros_like)


class AlwaysTraining(torch.nn.Dropout):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(x, self.p, training=True)


def always_drops(module: Any) -> None:
    """Its dropout is not switched off by `.eval()`."""
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.__class__ = AlwaysTraining


def never_drops(module: Any) -> None:
    """Its dropout modules do nothing."""
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0


def stale_feed_forward(module: Any) -> None:
    """In evaluation a copy of the first dense layer's weight is used that was made at the first call."""
    for name, part in module.named_modules():
        if name.endswith(("intermediate.dense", "fc1")):

            def forward(x: torch.Tensor, part: Any = part) -> torch.Tensor:
                if part.training:
                    return torch.nn.functional.linear(x, part.weight, part.bias)
                if not hasattr(part, "copied"):
                    part.copied = part.weight.detach().clone()
                return torch.nn.functional.linear(x, part.copied, part.bias)

            part.forward = forward


def reentrant(module: Any) -> None:
    """Its checkpoints are reentrant: right where everything is trained."""
    for part in module.modules():
        if hasattr(part, "recomputes"):
            part.run = lambda function, *given, part=part: (
                checkpoint(function, *given, use_reentrant=True) if part.recomputes else function(*given)
            )


def head_drops_more(module: Any) -> None:
    """Its classifier drops 0.95 of what it reads, whatever its rate is."""
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.Dropout) and part.p > 0 and "classif" in name:
            part.p = 0.95


def words_detached(module: Any) -> None:
    """`inputs_embeds` gets no gradient."""

    def hook(model: Any, given: Any, named: dict[str, Any]) -> Any:
        if named.get("inputs_embeds") is not None:
            named = named | {"inputs_embeds": named["inputs_embeds"].detach()}
        return given, named

    module.register_forward_pre_hook(hook, with_kwargs=True)


class Doubled(torch.autograd.Function):
    """Its input, and twice its gradient."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return 2 * gradients[0]


def doubled_under_autocast(module: Any) -> None:
    """Under autocast the gradients below the first layer are doubled."""

    def hook(part: Any, given: Any, output: Any) -> Any:
        if not torch.is_autocast_enabled("cpu"):
            return output
        return (Doubled.apply(output[0]), *output[1:]) if isinstance(output, tuple) else Doubled.apply(output)

    layer_0(module).register_forward_hook(hook)


WRONG = [
    (stale_feed_forward, "overwritten_weights", "led"),
    (reentrant, "frozen_checkpointing", "xlm-roberta"),
    (head_drops_more, "head_dropout", "xlm-roberta"),
    (words_detached, "padding_gradients", "longformer"),
    (words_detached, "autocast", "led"),
    (doubled_under_autocast, "autocast_values", "longformer"),
    (padding_ignored, "training_outputs", "longformer"),
    (padding_ignored, "gradients", "xlm-roberta"),
    (padding_ignored, "padding_gradients", "led"),
    (layer_cut, "gradients", "longformer"),
    (weights_cut, "gradients", "led"),
    (weights_cut, "checkpointing", "xlm-roberta"),
    (always_drops, "dropout_seeds", "xlm-roberta"),
    (never_drops, "embedding_dropout", "xlm-roberta"),
    (never_drops, "dropout_sites", "longformer"),
]


@pytest.mark.parametrize(("spoil", "check", "architecture"), WRONG)
def test_a_model_that_is_wrong_in_training_fails(spoil: Spoil, check: str, architecture: str) -> None:
    record = tried(check, architecture, made(spoil))
    assert record.status == "failed", record


@pytest.mark.parametrize(("check", "architecture"), sorted({wrong[1:] for wrong in WRONG}))
def test_the_same_model_unchanged_passes(check: str, architecture: str) -> None:
    assert tried(check, architecture, made(right), cases=3).passed


def test_reentrant_checkpoints_are_right_where_everything_is_trained() -> None:
    declared = made(reentrant, training=tuple(name for name in TRAINING if name != "frozen_checkpointing"))
    assert "frozen_checkpointing" not in model_names(None, declared.features)
    for check in ("checkpointing", "dropout_gradients", "frozen_weights"):
        assert tried(check, "longformer", declared, cases=3).passed
    message = tried("frozen_checkpointing", "longformer", made(reentrant)).message
    assert re.search("frozen and checkpointing.*it has none; a reentrant checkpoint gives none", message)


def test_words_without_a_gradient_are_told() -> None:
    message = tried("padding_gradients", "led", made(words_detached)).message
    assert message == "inputs_embeds: expected a gradient, as it requires one, got none"


def test_an_error_of_a_checks_own_is_a_failed_record_and_the_next_check_runs() -> None:
    def falls_over(probe: Any) -> Iterator[Any]:
        yield from ()
        raise AssertionError("an answer of a kind that nobody has thought of")

    broken = replace(MODEL_CHECKS["gradients"], function=falls_over)
    record = run_model_check("changed", made(right), broken, "led", "float32", 3)
    assert (record.status, record.case is not None) == ("failed", True)
    told = r"the check itself raised AssertionError: an answer .* thought of \(test_training.py, line \d+\)"
    assert re.fullmatch(told, record.message)


def test_a_report_of_models_says_what_was_covered_and_what_was_not_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    candidate = made(right, training=("gradients",))
    record = tried("gradients", "longformer", candidate, cases=9)
    print_report([record], None, candidate)
    told = capsys.readouterr().out
    assert re.search(r"Covered: tokens 2\.\.\d\d, heads 1\.\..*; with gradients tokens 2\.\.\d\d", told)
    assert "Not claimed by the models, and not checked: checkpointing, frozen_checkpointing, dropout, autocast." in told


def test_a_target_says_what_its_training_can_do() -> None:
    assert set(TRAINING) <= HubModels(ModelTarget(print)).features
    none = model_names(None, HubModels(ModelTarget(print, training=())).features)
    some = model_names(None, HubModels(ModelTarget(print, training=("gradients",))).features)
    assert set(some) - set(none) == {
        "training_outputs",
        "gradients",
        "head_gradients",
        "frozen_weights",
        "overwritten_weights",
        "training_course",
        "accumulated_gradients",
        "padding_gradients",
    }
    with pytest.raises(TargetError, match=r"training: expected some of gradients, .*, got dropouts"):
        ModelTarget(print, training=("gradients", "dropouts"))
    with pytest.raises(TargetError, match="training: expected gradients beside dropout, got none"):
        ModelTarget(print, training=("dropout",))


def test_what_is_declared_of_training_is_told(tmp_path: Path) -> None:
    file = tmp_path / "untrained.py"
    file.write_text("import trueband\n\ntarget = trueband.ModelTarget(print, training=())\n", encoding="utf-8")
    told = describe(Named("untrained", f"{file}:target", "a test", kind="models"))
    assert "in training nothing" in told["declared"]


def test_a_model_without_checkpointing_is_told_what_to_say() -> None:
    candidate = HubModels(ModelTarget(lambda *_: torch.nn.Linear(1, 1)))
    record = tried("checkpointing", "led", candidate, cases=1)
    assert "gradient_checkpointing_enable: expected a method of Linear, got none; a ModelTarget says" in record.message


@pytest.mark.parametrize(("kept", "total", "rate"), [(3, 10, 0.5), (0, 7, 0.25), (7, 7, 0.75), (20, 60, 0.5)])
def test_tails_are_those_of_the_binomial_distribution(kept: int, total: int, rate: float) -> None:
    share = Fraction(rate)
    pmf = [math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(total + 1)]
    for found, right in zip(binomial_tails(kept, total, rate), (sum(pmf[: kept + 1]), sum(pmf[kept:])), strict=True):
        assert abs(Fraction(found) / right - 1) < Fraction(1, 2**30)  # logarithms of factorials lose some digits


def test_a_count_far_from_the_rate_is_told() -> None:
    assert judge_count(240, 480, 0.5, "layer").passed
    assert not judge_count(350, 480, 0.5, "layer").passed
    assert not judge_count(100, 480, 0.5, "layer").passed
