"""`trueband bench`: what is measured, and what is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from trueband.bench.contenders import CEILING, CONTENDERS, NAMES, OURS, Contender, contenders
from trueband.bench.decoders import inputs_of
from trueband.bench.inputs import attention_mask, passes, projections
from trueband.bench.measure import Measurement
from trueband.bench.plot import plot
from trueband.bench.process import environment
from trueband.bench.shape import NEW_TOKENS, Shape, band_pairs, multiply_adds
from trueband.bench.table import exponent, seconds, size
from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.results.verdict import judge
from trueband.reference import band_attention as reference
from trueband.reference.arguments import check_arguments

SMALL = Shape("operator", tokens=64, window=8, heads=2, head_dim=8)
# torch 2.6 compiles flex_attention also where it is not asked to, and cannot.
NOT_HERE = (CEILING, "flex compiled", *(["flex"] if torch.__version__ < "2.7" else []))
RUNNABLE = [each for each in CONTENDERS if each.name not in NOT_HERE]


@pytest.mark.parametrize("tokens", [1, 2, 7, 12])
def test_pairs_are_those_of_the_band(tokens: int) -> None:
    offset = np.arange(tokens)[:, None] - np.arange(tokens)
    for window in range(tokens + 2):
        assert band_pairs(tokens, window) == (np.abs(offset) <= window).sum()


def test_multiply_adds_count_real_tokens_only() -> None:
    assert multiply_adds(SMALL) == 2 * 2 * 8 * band_pairs(64, 8)
    padded = replace(SMALL, batch=4, padding=0.5)
    assert sum(padded.lengths()) == 2 * 64
    assert multiply_adds(padded) == sum(multiply_adds(replace(SMALL, tokens=n)) for n in padded.lengths())
    assert multiply_adds(replace(SMALL, backward=True)) * 2 == multiply_adds(SMALL) * 7
    assert multiply_adds(replace(SMALL, level="module")) - multiply_adds(SMALL) == 64 * 3 * 16 * 16


@pytest.mark.parametrize("padding", [0.0, 0.25, 0.5, 0.9])
def test_rows_are_padded_by_the_share(padding: float) -> None:
    shape = replace(SMALL, tokens=1600, batch=8, padding=padding)
    assert sum(shape.lengths()) == round((1 - padding) * 12800)
    assert min(shape.lengths()) >= 1
    mask = attention_mask(shape)
    assert (None if mask is None else mask.sum(dim=1).tolist()) == (shape.lengths() if padding else None)


@pytest.mark.parametrize("padding", [0.0, 0.5])
@pytest.mark.parametrize(
    "name", [each.name for each in RUNNABLE if each.level == "operator" and "core" not in each.name]
)
def test_every_operator_computes_the_same_attention(name: str, padding: float) -> None:
    """What is compared is comparable: real rows are those of the reference."""
    shape = replace(SMALL, batch=2, padding=padding)
    (own,) = contenders(shape, (name,))
    query, key, value = (each.numpy().astype(np.float64) for each in projections(shape))
    mask = attention_mask(shape)
    options: dict[str, Any] = {"window": 8} if mask is None else {"window": 8, "attention_mask": mask.numpy()}
    found = own.build(shape).compute().double().numpy()
    if mask is not None:  # not every contender gives masked rows a value that anybody wants
        found = np.where(mask[:, None, :, None].numpy(), found, 0)
    bound = attention_bound(check_arguments(query, key, value, **options), Precision.of("float32"))
    verdict = judge(found, reference(query, key, value, **options).output, bound)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("own", [each for each in RUNNABLE if each.level in ("prefill", "decode")], ids=str)
def test_every_decoder_computes_the_same_attention(own: Contender) -> None:
    shape = replace(SMALL, level=own.level, heads=8)
    query, key, value = (each.numpy().astype(np.float64) for each in inputs_of(shape))
    assert (query.shape[1], key.shape[1]) == (8, 2)
    options = {"window": (8, 0), "offset": key.shape[2] - query.shape[2]}
    found = own.build(shape).compute().double().numpy()
    found = found if found.shape == query.shape else found.swapaxes(1, 2)  # transformers merges heads next
    bound = attention_bound(check_arguments(query, key, value, **options), Precision.of("float32"))
    verdict = judge(found, reference(query, key, value, **options).output, bound)
    assert verdict.passed, str(verdict)
    seen = band_attention_pairs(64, own.level == "decode")
    assert multiply_adds(shape) == 2 * 64 * seen


def band_attention_pairs(tokens: int, last: bool) -> int:
    """Pairs of a causal band of 8, counted one by one."""
    offset = np.arange(tokens)[:, None] - np.arange(tokens)
    seen = (offset >= 0) & (offset <= 8)
    return int(seen[-1].sum() if last else seen.sum())


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("own", RUNNABLE, ids=lambda own: f"{own.level}-{own.name}")
def test_every_contender_runs(own: Contender, backward: bool) -> None:
    shape = replace(SMALL, level=own.level, backward=backward and own.level not in ("decode", "generation"))
    if own.applies(shape):
        work = own.build(shape)
        passes(work.compute, work.inputs, shape.backward)()
        assert all(each.requires_grad for each in work.inputs) or not shape.backward


@pytest.mark.parametrize("name", [OURS, "hf-led"])
def test_generation_writes_as_many_tokens_as_are_counted(name: str) -> None:
    (own,) = contenders(replace(SMALL, level="generation", batch=2), (name,))
    assert own.build(replace(SMALL, level="generation", batch=2)).compute().shape == (2, 1 + NEW_TOKENS)


def test_the_ceiling_takes_as_many_multiply_adds() -> None:
    shape = replace(SMALL, tokens=4096, window=256)
    (own,) = contenders(shape, (CEILING,))
    work = own.build(shape)
    assert round(work.scale * work.compute().shape[0] ** 3) == multiply_adds(shape)


def test_all_threads_are_asked_for_and_no_foreign_setting_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("SOMETHING_ELSE", "kept")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = environment(3)
    assert "OPENBLAS_CORETYPE" not in found
    assert (found["OMP_NUM_THREADS"], found["SOMETHING_ELSE"]) == ("3", "kept")


def test_exponent_of_powers() -> None:
    lengths = [4096, 8192, 65536]
    assert f"{exponent(lengths, [float(n) for n in lengths]):.6f}" == "1.000000"
    assert f"{exponent(lengths, [3.0 * n**2 for n in lengths]):.6f}" == "2.000000"


def test_numbers_have_units() -> None:
    assert [seconds(each) for each in (1234, 12.34, 0.0456, 1e-5)] == ["1230 s", "12.3 s", "45.6 ms", "10 us"]
    assert [size(each * 2**20) for each in (0.5, 20, 1001, 3072)] == ["0.5 MiB", "20 MiB", "1000 MiB", "3 GiB"]


def measured(name: str, tokens: int, time: float, memory: int | None) -> Measurement:
    return Measurement(name, replace(SMALL, tokens=tokens), [time], [time], memory)


def test_the_plot_is_a_document_with_every_contender() -> None:
    found = [
        measured(name, n, 1e-6 * n * (1 + i), None if name == CEILING else 1000 * n)
        for i, name in enumerate(NAMES)
        for n in (1024, 4096)
    ]
    root = ElementTree.fromstring(plot(found))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(NAMES) <= set(texts)
    assert {"1k", "4k", "1 ms"} <= set(texts)


def test_one_length_makes_no_plot() -> None:
    with pytest.raises(ValueError, match="--plot: expected at least two lengths"):
        plot([measured(OURS, 1024, 1.0, 1)])


def test_contenders_that_do_not_apply_are_left_out() -> None:
    names = [each.name for each in contenders(replace(SMALL, backward=True), NAMES)]
    assert names[0] == OURS
    assert "flex" not in names
