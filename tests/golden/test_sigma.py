"""8 sigma on trained weights: every layer of the optimized models, and whole stacks of them, in three precisions.

Weights of checkpoints have outlier features, which random weights do not. Each layer is judged alone, the reference is
fed the input that the tested layer got; "whole" results carry the moments from the ids to the end. `docs/sigma.md`
shows what was found; `pytest tests/golden/test_sigma.py -rP` prints it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional

from trueband.golden.seq2seq_witness import greedy, reference_seq2seq
from trueband.golden.store import open_store
from trueband.golden.weights.bart import bart_to_led, roberta_to_led_encoder
from trueband.golden.weights.bart_g2p import MAX_LENGTH, encode_word, load_bart_g2p
from trueband.golden.weights.bart_g2p import PAD as BART_PAD
from trueband.golden.weights.fairseq import Checkpoint, to_longformer
from trueband.golden.weights.sapiens import PAD, encode, load_sapiens
from trueband.optimized.layers.activations import ACTIVATIONS
from trueband.properties.bounds import Precision, round_to
from trueband.properties.bounds.encoder_variance import (
    lm_head_moments,
    longformer_layer_moments,
    roberta_layer_moments,
)
from trueband.properties.bounds.led_variance import (
    Layer,
    led_decoder_layer_moments,
    led_encoder_layer_moments,
    led_logits_moments,
)
from trueband.properties.bounds.model_variance import (
    led_decoder_moments,
    led_encoder_moments,
    longformer_moments,
    roberta_moments,
)
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.layers import lm_head
from trueband.reference.led import led_lm_head
from trueband.reference.led_decoder import led_decoder_layer
from trueband.reference.led_encoder import led_encoder_layer
from trueband.reference.longformer import longformer_layer
from trueband.reference.roberta import roberta_layer
from trueband.witnesses.building import build

pytestmark = pytest.mark.evidence

Array = np.ndarray
DTYPES = ("float32", "bfloat16", "float16")
MODELS = ("RoBERTa", "Longformer", "LED encoder", "LED of a BART", "LED of a BART, narrow")
WINDOW, NARROW, POSITIONS = 16, 4, 144  # two-sided


class Texts(NamedTuple):
    """Attributes:
    ids: (b, n), padded on the right.
    real, flags: (b, n), 0 and 1; rows have different numbers of global tokens.
    """

    ids: Array
    real: Array
    flags: Array


class Tap(NamedTuple):
    """A result of the optimized model, the reference's, and the moments of the difference."""

    what: str
    actual: Array
    expected: Array
    moments: Moments

    def verdict(self) -> Verdict:
        return judge(self.actual, self.expected, sigma_bound(self.moments), self.what)

    def sigmas(self) -> Array:
        """Signed errors, in standard deviations."""
        result: Array = (self.actual - self.expected) / np.sqrt(self.moments.variance)
        return result


def padded(rows: list[Array], pad: int, flagged: list[list[int]]) -> Texts:
    ids = np.full((len(rows), max(map(len, rows))), pad)
    flags = np.zeros_like(ids)
    for i, (row, where) in enumerate(zip(rows, flagged, strict=True)):
        ids[i, : len(row)], flags[i, where] = row, 1
    return Texts(ids, (ids != pad).astype(np.int64), flags)


def antibodies() -> Texts:
    """Three published sequences, one of them cut out of another."""
    names = ("sapiens_embedding_fairseq_2022", "sapiens_scores_row_0")
    whole, masked = (open_store().golden(name).metadata.inputs["residues"] for name in names)
    return padded([encode(each)[0] for each in (masked, whole, whole[7:70])], PAD, [[0, 60], [0, 17, 40], []])


def led_g2p(attention_window: int = 64) -> Checkpoint:
    """The BART as an LED; the default window covers every word."""
    return bart_to_led(load_bart_g2p(), attention_window, 128)


@cache
def words() -> tuple[Texts, Array]:
    """Five published words, and what the model says for the decoder to read, (b, m)."""
    rows = [encode_word(word)[0] for word in ("onnxruntime", "szymanski", "getclawdy", "nakamura", "quixote")]
    spoken = [np.array(greedy(reference_seq2seq, led_g2p(), row[None], None, MAX_LENGTH)[:-1]) for row in rows]
    texts = padded(rows, BART_PAD, [[0], [0, 4], [3], [], []])
    return texts, padded(spoken, BART_PAD, [[]] * 5).ids


def rounded(state: dict[str, Array], dtype: str) -> dict[str, Array]:
    return {name: round_to(array.astype(np.float64), dtype) for name, array in state.items()}


def run(model: Any, texts: Texts, **more: Array) -> dict[str, Any]:
    """Outputs of the model by name, float64."""
    given = {"input_ids": texts.ids, "attention_mask": texts.real, **more}
    with torch.no_grad():
        output = model(**{name: torch.tensor(array) for name, array in given.items()}, output_hidden_states=True)
    found: dict[str, Any] = {"logits": output.logits.double().numpy()}
    for name in ("hidden_states", "encoder_hidden_states", "decoder_hidden_states"):
        found[name] = [tap.double().numpy() for tap in getattr(output, name, None) or ()]
    return found


_KEPT: dict[tuple[Any, ...], Any] = {}


def once(compute: Callable[[], Any], *key: Any) -> Any:
    """The reference's part, once for a key; arrays count by their content. A wrong model does not change it."""
    named = tuple(sha256(part.data).digest() if isinstance(part, np.ndarray) else part for part in key)
    if named not in _KEPT:
        _KEPT[named] = compute()
    return _KEPT[named]


def encoder_taps(dtype: str, changed: dict[str, Any] | None, banded: bool) -> Iterator[Tap]:
    """Of the RoBERTa, as it is or as a Longformer. `changed`: what the configuration of the tested model says."""
    checkpoint = to_longformer(load_sapiens(), WINDOW, POSITIONS) if banded else load_sapiens()
    state, precision, texts = rounded(checkpoint.state, dtype), Precision.of(dtype), antibodies()
    masks: dict[str, Any] = {"attention_mask": texts.real, "global_attention_mask": texts.flags}
    config: Any = (LongformerConfig if banded else XLMRobertaConfig).from_dict(checkpoint.config)
    tested = {**checkpoint.config, **(changed or {})}
    prefix = "longformer." if banded else "roberta."
    kind = "LongformerForMaskedLM" if banded else "XLMRobertaForMaskedLM"
    more = {"global_attention_mask": texts.flags} if banded else {}
    output = run(build(kind, tested, state, dtype), texts, **more)
    for i, (x, leaving) in enumerate(pairwise(output["hidden_states"])):
        name = f"{prefix}encoder.layer.{i}"

        def layer(x: Array = x, name: str = name, i: int = i) -> tuple[Array, Moments]:
            if banded:
                window = config.window(i)
                expected = longformer_layer(state, name, config, x, window=window, **masks)
                given = (x, window, texts.real, texts.flags)
                return expected, longformer_layer_moments(state, name, config, *given, precision=precision)
            expected = roberta_layer(state, name, config, x, texts.real)
            return expected, roberta_layer_moments(state, name, config, x, texts.real, precision)

        yield Tap(f"layer {i}", leaving, *once(layer, banded, dtype, i, x))
    eps, last = config.layer_norm_eps, output["hidden_states"][-1]
    head = lm_head_moments(state, prefix, config, last, precision)
    yield Tap("logits", output["logits"], lm_head(state, last, eps, prefix), head)

    def whole() -> tuple[Moments, Moments]:
        if banded:
            taps = longformer_moments(state, config, texts.ids, precision, **masks)
        else:
            taps = roberta_moments(state, config, texts.ids, precision, attention_mask=texts.real)
        end = taps["last_hidden_state"]
        return end, lm_head_moments(state, prefix, config, end, precision)

    end, logits = once(whole, banded, dtype)
    yield Tap("whole, last states", last, end.value, end)
    yield Tap("whole, logits", output["logits"], logits.value, logits)


def led_taps(
    model_name: str,
    checkpoint: Checkpoint,
    texts: Texts,
    decoder_ids: Array,
    dtype: str,
    changed: dict[str, Any] | None,
) -> Iterator[Tap]:
    """Of encoder and decoder of an LED. `model_name` tells checkpoint and texts."""
    state, precision = rounded(checkpoint.state, dtype), Precision.of(dtype)
    config = LEDConfig.from_dict(checkpoint.config)
    tested = {**checkpoint.config, **(changed or {})}
    model = build("LEDForConditionalGeneration", tested, state, dtype)
    output = run(model, texts, global_attention_mask=texts.flags, decoder_input_ids=decoder_ids)
    masks: dict[str, Any] = {"attention_mask": texts.real, "global_attention_mask": texts.flags}
    real, flagged = texts.real == 1, texts.flags == 1
    for i, (x, leaving) in enumerate(pairwise(output["encoder_hidden_states"])):
        name, window = f"led.encoder.layers.{i}", config.window(i)

        def layer(x: Array = x, name: str = name, window: int = window) -> tuple[Array, Moments]:
            expected = led_encoder_layer(state, name, config, x, window=window, **masks)
            layer = Layer(state, name, config.encoder_attention_heads, precision)
            return expected, led_encoder_layer_moments(layer, x, window, real, flagged)

        yield Tap(f"layer {i}", leaving, *once(layer, model_name, dtype, i, x))
    encoded, every = output["encoder_hidden_states"][-1], np.ones(decoder_ids.shape, dtype=bool)

    def encoder() -> Moments:
        return led_encoder_moments(state, config, texts.ids, precision, **masks)["last_hidden_state"]

    whole = once(encoder, model_name, dtype)
    yield Tap("whole, last states", encoded, whole.value, whole)
    if not config.decoder_layers:
        return
    for i, (x, leaving) in enumerate(pairwise(output["decoder_hidden_states"])):
        name = f"led.decoder.layers.{i}"
        expected = led_decoder_layer(state, name, config, x, encoded, encoder_attention_mask=texts.real).hidden_states
        own = Layer(state, name, config.decoder_attention_heads, precision)
        moments = led_decoder_layer_moments(own, x, encoded, every, real)
        yield Tap(f"decoder's layer {i}", leaving, expected, moments)
    last = output["decoder_hidden_states"][-1]
    yield Tap("logits", output["logits"], led_lm_head(state, last), led_logits_moments(state, last, precision))

    def decoder() -> Moments:
        ends = {"encoder_hidden_states": whole, "encoder_attention_mask": texts.real}
        end = led_decoder_moments(state, config, decoder_ids, precision, **ends)["last_hidden_state"]
        return led_logits_moments(state, end, precision)

    logits = once(decoder, model_name, dtype, "logits")
    yield Tap("whole, logits", output["logits"], logits.value, logits)


def taps_of(model: str, dtype: str, changed: dict[str, Any] | None = None) -> list[Tap]:
    if model in ("RoBERTa", "Longformer"):
        return list(encoder_taps(dtype, changed, model == "Longformer"))
    if model == "LED encoder":
        texts = antibodies()
        start = np.full((len(texts.ids), 1), 2)
        checkpoint = roberta_to_led_encoder(load_sapiens(), WINDOW, POSITIONS)
        return list(led_taps(model, checkpoint, texts, start, dtype, changed))
    window = NARROW if model.endswith("narrow") else 64
    return list(led_taps(model, led_g2p(window), *words(), dtype, changed))


@pytest.fixture(scope="module")
def taps() -> Callable[[str, str], list[Tap]]:
    return cache(taps_of)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", MODELS)
def test_trained_weights_stay_below_8_sigma(taps: Callable[[str, str], list[Tap]], model: str, dtype: str) -> None:
    for tap in taps(model, dtype):
        sigmas = tap.sigmas()
        largest, rms = np.abs(sigmas).max(), math.sqrt((sigmas**2).mean())
        bias = sigmas.mean() * math.sqrt(sigmas.size)
        print(f"| {model} | {tap.what} | {dtype} | {largest:.2f} | {rms:.2f} | {bias:+.1f} |")
        verdict = tap.verdict()
        assert verdict.passed, str(verdict)


def test_outlier_features_are_there(taps: Callable[[str, str], list[Tap]]) -> None:
    """Otherwise nothing was validated: the largest feature is far above what as many normal numbers would reach."""
    for tap in taps("RoBERTa", "float32")[:4]:
        rms = math.sqrt((tap.expected**2).mean())
        assert np.abs(tap.expected).max() > rms * math.sqrt(2 * math.log(tap.expected.size))


OFF_BY_ONE: dict[str, dict[str, Any]] = {
    "Longformer": {"attention_window": [WINDOW, WINDOW, WINDOW + 2, WINDOW]},
    "LED encoder": {"attention_window": [WINDOW, WINDOW, WINDOW - 2, WINDOW]},
    "LED of a BART, narrow": {"attention_window": [NARROW + 2]},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", OFF_BY_ONE)
def test_a_window_off_by_one_in_one_layer_exceeds_8_sigma(model: str, dtype: str) -> None:
    wrong = [tap.what for tap in taps_of(model, dtype, OFF_BY_ONE[model]) if not tap.verdict().passed]
    layer = f"layer {len(OFF_BY_ONE[model]['attention_window']) // 2}"
    assert [what for what in wrong if not what.startswith("whole")] == [layer]


@pytest.mark.parametrize("model", ["RoBERTa", "Longformer", "LED encoder", "LED of a BART"])
def test_tanh_gelu_exceeds_8_sigma_in_float32(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setitem(ACTIVATIONS, "gelu", lambda x: functional.gelu(x, approximate="tanh"))
    layers = [tap for tap in taps_of(model, "float32") if "layer" in tap.what]
    assert not any(tap.verdict().passed for tap in layers)
