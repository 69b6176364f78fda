"""The shipped adapters: each fails what its file says and nothing else, and what it declares is really so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from trueband.adapters import SHIPPED, resolve
from trueband.adapters.names import ATTENTION_OF_MODELS
from trueband.properties.bounds import Bound
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target, TargetError, load_target
from trueband.properties.cases.case import Case
from trueband.properties.cases.limits import Sizes
from trueband.properties.checks import CHECKS
from trueband.properties.models.case import ModelCase
from trueband.properties.models.checks import MODEL_CHECKS, ModelProbe
from trueband.properties.models.target import ModelTarget, load_model_target
from trueband.properties.results.record import Record
from trueband.properties.results.verdict import judge
from trueband.properties.running.engine import reproduce, run_check
from trueband.properties.running.expected_failures import ExpectedFailures
from trueband.properties.running.models import model_steps, run_model_step
from trueband.properties.running.plan import SMALL_WORLD, Plan, select
from trueband.properties.running.search import try_case
from trueband.session.model_checks import model_candidate, model_names, reproduce_model
from trueband.witnesses.hub_models import HubModels

pytestmark = pytest.mark.evidence

OPERATORS = [name for name, one in SHIPPED.items() if one.kind == "operator" and one.expected_failures]
OF_JAX = [name for name, one in SHIPPED.items() if "jax" in one.packages]
FAULTLESS = [name for name in ("flex-gqa", *ATTENTION_OF_MODELS) if name not in OPERATORS]
PLAN = Plan("adapter", ("float32",), 1, (), ())
# One call that each of these can serve, and that a peer can hardly get right by chance.
CASE = {"tokens": 7, "window": 2, "head_dim": 4, "batch": 2, "heads": 2, "masked": [[5, 6], [0]], "family": "normal"}
FEW = ("matches_reference", "masked_rows_are_zero", "gradients_match_reference", "causality", "global_key_counts_once")


def taken(runner: Runner) -> dict[str, Any]:
    """`CASE`, as far as a target takes it."""
    case = {**CASE, "head_dim": runner.limits.fit("head_dim", 4)}
    case |= {"causal": True} if "causal_only" in runner.features else {}
    return case | ({"masked": [[5, 6], [6]]} if runner.limits.padding == "right" else {})


def expectations(name: str) -> ExpectedFailures:
    path = SHIPPED[name].expected_failures
    return ExpectedFailures({}) if path is None else ExpectedFailures.from_file(path)


def is_far(record: Record) -> bool:
    """Whether a failure is none of last bits: no result at all, no number, or more than two bounds away.

    One bound holds for every order of sums: results of a right kernel on two machines are two bounds apart at most, and
    what is further off is so by what it does. Where a result has to be exact: more than half of its bits are wrong;
    what has no size there, such as a token or an error that is not raised, is told by 0 or by whole numbers.
    """
    if record.verdict is None:
        return record.status in ("failed", "crashed")
    value, expected, bound, ratio = (float(record.verdict[name]) for name in ("value", "expected", "bound", "ratio"))
    if bound > 0:
        return not record.passed and not ratio <= 2
    half = math.sqrt(float(torch.finfo(getattr(torch, record.dtype.split()[-1])).eps))
    return not record.passed and (value == expected or not abs(value - expected) <= half * abs(expected))


def test_a_failure_of_last_bits_is_not_far() -> None:
    made = Record("operator", "a", "claim", "kernel", "float32", "cpu", "failed", 1, 0.0, 0.0, 3)
    for actual, bound, far in (
        (1 + 2**-22, 0.0, False),
        (1.5, 0.0, True),
        (1.5, 0.3, False),
        (1.5, 0.2, True),
        (math.nan, 1.0, True),
    ):
        verdict = judge(np.array([actual]), np.ones(1), Bound({"all": np.array([bound])}))
        assert is_far(replace(made, verdict=verdict.to_dict())) == far
    assert is_far(made)  # it raised


@pytest.mark.parametrize("name", OPERATORS)
def test_every_listed_failure_still_fails_by_its_case(name: str) -> None:
    runner = Runner(load_target(resolve(name).spec))
    expected = expectations(name)
    expected.check_names(select(None, runner.features))
    for each in expected.expectations:
        if not each.always:  # it may pass here
            continue
        assert each.case is not None
        dtypes = [next(iter(words)) for words in each.meant] or list(runner.dtypes)
        for dtype in dtypes:
            record = reproduce({"check": each.check, "case": {**each.case, "dtype": dtype}}, name, runner)
            assert is_far(record), record


@pytest.mark.parametrize("name", [*OPERATORS, *FAULTLESS])
def test_nothing_else_fails(name: str) -> None:
    runner = Runner(load_target(resolve(name).spec))
    checks = [
        check for check in FEW[: 2 if name.startswith("flex") else None] if check in select(None, runner.features)
    ]
    for check in checks:
        record = run_check(PLAN, CHECKS[check], runner, "float32", 2)
        (judged,) = expectations(name).apply([record], lambda line: reproduce(line, name, runner))
        assert judged.passed, judged
    for dtype in runner.dtypes:
        case = {**taken(runner), "dtype": dtype, **({"global_": [[1], []]} if "globals" in runner.features else {})}
        record = reproduce({"check": "matches_reference", "case": case}, name, runner)
        assert record.passed, record


@pytest.mark.parametrize("name", OF_JAX)
def test_what_runs_in_jax_passes(name: str, trueband_here: Callable[..., Any]) -> None:
    """In a process of its own: jax is set up for the whole process."""
    asked = "causal_is_a_side or equal_sides" if name == "jax-splash" else "matches_reference or mask_decoding"
    run = trueband_here("check", name, "--cases", 3, "--dtype", "float32", "-k", asked)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_sliding_cache_of_one_token_keeps_all() -> None:
    """Why the decoders are declared for windows from 1 on: of 2 tokens none is needed, and both are there."""
    from transformers import DynamicCache, MistralConfig

    for window, kept in ((1, 2), (2, 1)):
        cache = DynamicCache(config=MistralConfig(sliding_window=window, num_hidden_layers=1))
        two = torch.zeros(1, 1, 2, 4)
        cache.update(two, two, 0)
        layer: Any = cache.layers[0]
        assert layer.keys.shape[2] == kept


def test_sdpas_causal_kernel_needs_a_scale_above_0() -> None:
    """The cause of `any_finite_scale`, of `hf-mistral-sdpa`: minus infinity times the scale."""
    one = torch.ones(1, 1, 2, 1)
    for scale, right in ((1.0, True), (0.0, False), (-1.0, False)):
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            output = torch.nn.functional.scaled_dot_product_attention(one, one, one, is_causal=True, scale=scale)
        assert bool(output.isfinite().all()) == right


def test_the_peers_layers_need_the_declared_precision_in_float64() -> None:
    """The cause of what float64 gives: a float32 softmax. Declared, it passes; the contract's, it does not."""
    declared = load_target(resolve("hf-longformer").spec)
    silent = Target(declared.function, ("float64",), declared.features, "torch", sizes={"window": Sizes(least=2)})
    line = {"check": "matches_reference", "case": {**CASE, "dtype": "float64"}}
    assert reproduce(line, "x", Runner(declared)).passed
    assert not reproduce(line, "x", Runner(silent)).passed
    least = torch.finfo(torch.float64).min
    scores = torch.full((1, 3), least, dtype=torch.float64, requires_grad=True)
    assert torch.nn.functional.softmax(scores, dim=-1, dtype=torch.float32).isnan().all()
    least32 = torch.full((1, 3), torch.finfo(torch.float32).min)
    assert not torch.nn.functional.softmax(least32, dim=-1, dtype=torch.float32).isnan().any()


def test_the_peers_layers_take_no_smaller_window_than_declared() -> None:
    declared = load_target(resolve("hf-led").spec)
    silent = Runner(Target(declared.function, ("float32",), declared.features, "torch"))
    for window in (0, 1):
        record = reproduce({"check": "matches_reference", "case": {**CASE, "window": window}}, "x", silent)
        assert record.status == "failed", window


def test_local_attention_without_a_mask_attends_the_tokens_it_pads_with() -> None:
    """Why the adapter hands over a mask of ones."""

    def bare(query: Any, key: Any, value: Any, *, window: int) -> Any:
        from local_attention import LocalAttention

        layer = LocalAttention(window, autopad=True, exact_windowsize=True, use_rotary_pos_emb=False)
        return layer(query, key, value)

    runner = Runner(Target(bare, library="torch", features=frozenset(), sizes={"window": Sizes(least=1)}))
    for tokens, right in ((6, True), (5, False)):
        case = Case(tokens=tokens, window=3).to_dict()
        assert reproduce({"check": "mask_decoding", "case": case}, "bare", runner).passed == right


PEERS = pytest.mark.parametrize("name", ["hf", "hf-patched"])


@PEERS
def test_the_models_of_the_peer_fail_what_is_listed_and_nothing_else(name: str) -> None:
    candidate = model_candidate(name)
    expected = expectations(name)
    expected.check_names(list(MODEL_CHECKS))
    asked = "encoder_layers or logits or rejects_bad_model or head_masks or attentions or cached_tokens"
    names = model_names(asked, candidate.features)
    steps = model_steps(names, candidate)
    records = (run_model_step(name, candidate, replace(step, examples=3)) for step in steps)
    judged = list(expected.apply(records, lambda line: reproduce_model(line, name)))
    assert [record for record in judged if not record.passed] == []
    assert {record.dtype for record in judged if record.status == "expected"} >= {"led float64", "longformer float64"}
    assert any(record.status == "passed" for record in judged if record.dtype == "led float32")


@PEERS
def test_every_listed_failure_of_the_peers_models_still_fails_by_its_case(name: str) -> None:
    for each in expectations(name).expectations:
        if not each.always:  # it may pass here
            continue
        assert each.case is not None
        for words in each.meant:
            dtypes = words & set(MODEL_CHECKS[each.check].dtypes) or MODEL_CHECKS[each.check].dtypes
            assert words - set(dtypes) == {each.case["architecture"]}, each
            for dtype in dtypes:
                record = reproduce_model({"check": each.check, "case": {**each.case, "dtype": dtype}}, name)
                assert is_far(record), record


def test_what_a_patched_encoder_no_longer_fails_is_listed_for_the_peer_alone() -> None:
    """The float32 softmax, 0 x NaN in the encoder, and padding past the table of positions."""
    peers, patched = (
        {(each.check, frozenset(words)): each for each in expectations(name).expectations for words in each.meant}
        for name in ("hf", "hf-patched")
    )
    gone = {
        each.reason.split(":")[0] for key, each in peers.items() if key not in patched and "xlm-roberta" not in key[1]
    }
    assert "padding to the window runs past the table of positions" in gone
    assert "the softmax of the banded attention is float32 whatever the dtype of the model" in gone
    told = " ".join(each.reason for each in patched.values())
    assert "softmax" not in told
    assert "padding" not in told
    listed = {check for check, words in patched if "longformer" in words}
    assert listed == {"head_masks", "head_arguments", "rejects_bad_model_input"}


def test_the_peers_generate_numbers_positions_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause of what XLM-RoBERTa writes: the model itself numbers them from its padding id + 1."""
    case = ModelCase("xlm-roberta", tokens=3, causal=True)
    peers = model_candidate("hf")
    assert isinstance(peers, HubModels)
    model = peers.module(case.model)
    embeddings, read = model.roberta.embeddings, []
    forward = embeddings.forward

    def seen(*given: Any, **named: Any) -> Any:
        read.append(named["position_ids"])
        return forward(*given, **named)

    monkeypatch.setattr(embeddings, "forward", seen)
    ids = torch.tensor(case.inputs["input_ids"])
    model(ids)
    model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=1)
    assert read[0] is None
    assert read[1].tolist() == [[0, 1, 2]]
    assert not torch.equal(model(ids).logits, model(ids, position_ids=read[1]).logits)


def test_sdpas_float16_gradients_are_summed_in_float16_over_blocks_of_queries() -> None:
    """The cause of `gradient_sums_are_wide[float16]`: 2048 + 3/4 + 3/4 + 3/4 rounds to 2050 unless rounded thrice.

    All queries attend token 0 alone, so the gradient of its value is the sum of what reaches the rows.
    """

    def summed(backend: SDPBackend, rows: tuple[int, ...]) -> float:
        query, value = torch.zeros(1, 1, 120, 4).half(), torch.zeros(1, 1, 120, 4).half().requires_grad_()
        upstream = torch.zeros_like(value)
        upstream[:, :, 0], upstream[:, :, rows] = 2048.0, 0.75
        with sdpa_kernel(backend):
            first = (torch.arange(120) == 0).expand(1, 1, 120, 120)
            torch.nn.functional.scaled_dot_product_attention(query, query, value, attn_mask=first).backward(upstream)
        assert value.grad is not None
        return value.grad[0, 0, 0, 0].item()

    assert summed(SDPBackend.MATH, (32, 64, 96)) == 2050
    assert summed(SDPBackend.FLASH_ATTENTION, (1, 2, 3)) == 2050
    assert summed(SDPBackend.FLASH_ATTENTION, (32, 64, 96)) == 2048


def test_the_limits_of_the_peers_models_are_real() -> None:
    declared = load_model_target(resolve("hf", "models").spec)
    assert declared == ModelTarget(
        declared.factory,
        name=declared.name,
        least_window=2,
        one_window=True,
        whole_windows=True,
        positions=("absolute",),
        pruned=False,
        uneven_chunks=False,
    )
    models, check = HubModels(declared), MODEL_CHECKS["encoder_layers"]
    for wrong in (
        {"tokens": 8, "windows": (1,)},  # attention_window 2
        {"tokens": 6, "layers": 2, "windows": (2, 3)},  # 4 and 6: padded to a multiple of 6
        {"tokens": 13, "windows": (6,)},  # padded to 24, past the table of 17 positions
    ):
        case = ModelCase("led", **wrong)  # type: ignore[arg-type]
        assert try_case(check, models, case, ModelProbe).failure is not None, wrong
        fitted = declared.fit(case)
        assert fitted != case
        assert try_case(check, models, fitted, ModelProbe).failure is None, wrong
    for other in ({"positions": "relative_key"}, {"chunk": 2}, {"heads": 2, "pruned": ((1,),)}):
        case = ModelCase("xlm-roberta", tokens=3, **other)
        assert try_case(check, models, case, ModelProbe).failure is not None, other
        assert declared.fit(case) == ModelCase("xlm-roberta", tokens=3, heads=case.heads)
        assert try_case(check, models, declared.fit(case), ModelProbe).failure is None, other


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"factory": 3}, "model target: expected a callable factory, got int"),
        ({"factory": len, "architectures": ("gpt",)}, "architectures: expected some of xlm-roberta, .*, got gpt"),
        ({"factory": len, "architectures": ()}, "architectures: expected some of .*, got none"),
        ({"factory": len, "positions": ("rotary",)}, "positions: expected some of absolute, .*, got rotary"),
        ({"factory": len, "positions": ()}, "positions: expected some of .*, got none"),
        ({"factory": len, "least_window": 0}, "least_window: expected an int >= 1, got 0"),
    ],
)
def test_a_model_target_that_makes_no_sense_is_one_line(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        ModelTarget(**wrong)


def test_a_small_world_is_no_expected_failure_of_any_peer() -> None:
    """Every peer sees the right keys: what it fails is of another kind."""
    for name in OPERATORS:
        names = {each.check for each in expectations(name).expectations}
        assert not names & {SMALL_WORLD, "mask_decoding", "matches_reference", "locality"}
