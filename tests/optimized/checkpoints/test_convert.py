"""`trueband convert`: right conversions are put in place, wrong ones are not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from trueband.commands import convert as convert_command
from trueband.golden.weights.fairseq import Arrays, Checkpoint
from trueband.golden.weights.fetch import fetch
from trueband.golden.weights.wheels import SAPIENS
from trueband.hub import convert as convert_run
from trueband.hub.folder import read_folder
from trueband.optimized.models import LEDForConditionalGeneration, LongformerForMaskedLM, XLMRobertaForMaskedLM

Run = Callable[..., int]
BART: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_position_embeddings": 30,
}
TO_LONGFORMER = ("--max-positions", "150", "--attention-window", "8")
TO_LED = ("--max-positions", "70", "--attention-window", "8")


@pytest.fixture
def convert() -> Run:
    """The command with its arguments; its exit code."""
    parser = argparse.ArgumentParser()
    convert_command.add_parser(parser.add_subparsers())

    def run(*arguments: object) -> int:
        options = parser.parse_args(["convert", *map(str, arguments)])
        code: int = options.run(options)
        return code

    return run


@pytest.fixture(scope="session")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART of the peer, random weights."""
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("bart")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = transformers.BartForConditionalGeneration(transformers.BartConfig(**BART))
        for value in (*model.parameters(), model.final_logits_bias):
            torch.nn.init.normal_(value, std=0.3)
        model.save_pretrained(folder)
    return folder


def reconfigured(source: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a checkpoint with another config.json."""
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return folder


def test_roberta_to_longformer(
    convert: Run, peer_folder: Callable[..., tuple[Path, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, theirs = peer_folder("roberta")
    (source / "tokenizer.json").write_text("{}")
    (source / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 58, "tokenizer_class": "Any"}))
    assert convert("roberta-to-longformer", source, tmp_path / "made", *TO_LONGFORMER) == 0
    told = capsys.readouterr().out
    assert told.count("ok ") == 5
    assert "with the same outputs" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    said = json.loads((tmp_path / "made" / "tokenizer_config.json").read_text())
    assert said == {"model_max_length": 150, "tokenizer_class": "Any"}
    model = LongformerForMaskedLM.from_pretrained(tmp_path / "made")
    assert model.config.max_length == 150
    assert model.config.attention_window == (8, 8)
    state, source_state = load_file(tmp_path / "made/model.safetensors"), theirs.state_dict()
    for part in ("query", "key", "value"):
        name = f"longformer.encoder.layer.1.attention.self.{part}"
        local, own = (state[f"{name}{suffix}.weight"] for suffix in ("", "_global"))
        assert torch.equal(local, own)
        assert torch.equal(own, source_state[f"roberta.encoder.layer.1.attention.self.{part}.weight"])
        assert local.data_ptr() != own.data_ptr()  # copies, not shared
    table = state["longformer.embeddings.position_embeddings.weight"]
    learned = source_state["roberta.embeddings.position_embeddings.weight"]
    assert table.shape[0] == 152
    assert torch.equal(table[:60], learned)
    assert torch.equal(table[60:118], learned[2:])
    read: Any = transformers.LongformerForMaskedLM.from_pretrained(tmp_path / "made", output_loading_info=True)
    peer, info = read
    assert not any(info.values()), info
    assert torch.equal(peer.lm_head.dense.weight, theirs.lm_head.dense.weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_dtype_of_the_weights_stays(
    convert: Run, peer_folder: Callable[..., tuple[Path, Any]], tmp_path: Path, dtype: torch.dtype
) -> None:
    source, _ = peer_folder("roberta")
    XLMRobertaForMaskedLM.from_pretrained(source, dtype=dtype).save_pretrained(tmp_path / "source")
    assert convert("roberta-to-longformer", tmp_path / "source", tmp_path / "made", *TO_LONGFORMER) == 0
    state = load_file(tmp_path / "made/model.safetensors")
    before = load_file(tmp_path / "source/model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {dtype}
    assert torch.equal(state["lm_head.dense.weight"], before["lm_head.dense.weight"])


def test_bart_to_led(convert: Run, bart: Path, tmp_path: Path) -> None:
    assert convert("bart-to-led", bart, tmp_path / "made", *TO_LED) == 0
    read: Any = transformers.LEDForConditionalGeneration.from_pretrained(tmp_path / "made", output_loading_info=True)
    model, info = read
    assert not any(info.values()), info
    config = LEDForConditionalGeneration.from_pretrained(tmp_path / "made").config
    assert (config.max_encoder_position_embeddings, config.max_decoder_position_embeddings) == (70, 30)
    assert torch.equal(model.led.encoder.embed_positions.weight[:30], model.led.encoder.embed_positions.weight[30:60])


def test_fairseq_to_hub_to_longformer(convert: Run, tmp_path: Path) -> None:
    assert convert("fairseq-to-hub", fetch(SAPIENS)["checkpoint_vh.pt"], tmp_path / "hub") == 0
    transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "hub")
    assert convert("roberta-to-longformer", tmp_path / "hub", tmp_path / "long", *TO_LONGFORMER) == 0


def changed(name: str, change: Callable[[str, np.ndarray], np.ndarray]) -> tuple[str, Callable[..., Any]]:
    """A conversion (by its name) with an array changed behind it."""
    right = getattr(convert_run, name)

    def wrong(*arguments: Any) -> Checkpoint:
        config, state = right(*arguments)
        return Checkpoint(config, {key: change(key, array) for key, array in state.items()})

    return name, wrong


def unlike(part: str) -> Callable[[str, np.ndarray], np.ndarray]:
    return lambda key, array: -array if part in key else array


def late(part: str) -> Callable[[str, np.ndarray], np.ndarray]:
    """Positions one row too late."""
    return lambda key, array: np.roll(array, -1, axis=0) if part in key and "position" in key else array


WRONG = {
    "positions of the Longformer": ("roberta", changed("roberta_to_longformer", late("longformer."))),
    "global values": ("roberta", changed("roberta_to_longformer", unlike("value_global.bias"))),
    "local queries": ("roberta", changed("roberta_to_longformer", unlike("layer.0.attention.self.query.weight"))),
    "a LayerNorm": ("roberta", changed("roberta_to_longformer", unlike("layer.1.output.LayerNorm.bias"))),
    "the language-model head": ("roberta", changed("roberta_to_longformer", unlike("lm_head.layer_norm.bias"))),
    "fairseq's head": ("fairseq", changed("fairseq_to_hub", unlike("lm_head.layer_norm.weight"))),
    "positions of LED's encoder": ("bart", changed("bart_to_led", late("encoder."))),
    "positions of LED's decoder": ("bart", changed("bart_to_led", late("decoder."))),
    "global keys": ("bart", changed("bart_to_led", unlike("key_global.weight"))),
    "cross-attention": ("bart", changed("bart_to_led", unlike("encoder_attn.k_proj.weight"))),
    "the bias of the logits": ("bart", changed("bart_to_led", unlike("final_logits_bias"))),
    "the last positions": (
        "bart",
        changed(
            "bart_to_led", lambda key, array: np.concatenate([array[:50], array[:20]]) if len(array) == 70 else array
        ),
    ),
    "fairseq's names": ("fairseq", changed("fairseq_to_hub", unlike("layer.3.intermediate.dense.bias"))),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_conversion_is_not_put_in_place(
    name: str,
    convert: Run,
    bart: Path,
    peer_folder: Callable[..., tuple[Path, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    what, (function, wrong) = WRONG[name]
    commands: dict[str, tuple[Any, ...]] = {
        "roberta": ("roberta-to-longformer", lambda: peer_folder("roberta")[0], *TO_LONGFORMER),
        "bart": ("bart-to-led", lambda: bart, *TO_LED),
        "fairseq": ("fairseq-to-hub", lambda: fetch(SAPIENS)["checkpoint_vh.pt"]),
    }
    kind, source, *rest = commands[what]
    monkeypatch.setattr(convert_run, function, wrong)
    assert convert(kind, source(), tmp_path / "made", *rest) == 1
    told = capsys.readouterr().out
    assert "FAILED" in told
    assert "is not made" in told
    assert list(tmp_path.iterdir()) == []


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "relative positions": (
        {"position_embedding_type": "relative_key"},
        r"^position_embedding_type: expected 'absolute'",
    ),
    "a decoder": ({"is_decoder": True}, "^is_decoder: expected False, got True"),
    "another activation": ({"hidden_act": "relu"}, "^hidden_act: expected 'gelu', got 'relu'"),
    "another model": ({"model_type": "bert"}, "^model_type: expected 'roberta' or 'xlm-roberta', got 'bert'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_longformer_does_not_compute_is_refused(
    name: str, convert: Run, peer_folder: Callable[..., tuple[Path, Any]], tmp_path: Path
) -> None:
    changes, message = REFUSED[name]
    source = reconfigured(peer_folder("roberta")[0], tmp_path / "source", **changes)
    with pytest.raises(ValueError, match=message):
        convert("roberta-to-longformer", source, tmp_path / "made", *TO_LONGFORMER)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_an_led_does_not_compute_is_refused(convert: Run, bart: Path, tmp_path: Path) -> None:
    source = reconfigured(bart, tmp_path / "source", scale_embedding=True)
    with pytest.raises(ValueError, match=r"^scale_embedding: expected False, got True"):
        convert("bart-to-led", source, tmp_path / "made", *TO_LED)


def test_a_configuration_that_says_too_little_is_refused(convert: Run, bart: Path, tmp_path: Path) -> None:
    source = reconfigured(bart, tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    del config["encoder_ffn_dim"]
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"^encoder_ffn_dim: expected it in the configuration, got none"):
        convert("bart-to-led", source, tmp_path / "made", *TO_LED)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("roberta-to-longformer", "--attention-window", 7), "^--attention-window: expected an even int >= 2 .*got 7"),
        (("roberta-to-longformer", "--max-positions", 0), "^--max-positions: expected an int >= 1, got 0"),
        (("fairseq-to-hub", "--max-positions", 5), "^--max-positions: expected none with fairseq-to-hub, got one"),
        (("roberta-to-longformer",), "^SOURCE: expected a folder with config.json and weights, got"),
        (("fairseq-to-hub",), r"^SOURCE: expected a fairseq checkpoint \(\.pt\), got"),
    ],
)
def test_wrong_usage(options: tuple[Any, ...], message: str, convert: Run, tmp_path: Path) -> None:
    kind, *rest = options
    with pytest.raises(ValueError, match=message):
        convert(kind, tmp_path / "absent", tmp_path / "made", *rest)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_there_is_left_alone(convert: Run, bart: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^TARGET: expected a folder that does not exist yet"):
        convert("bart-to-led", bart, tmp_path)


def test_a_hostile_fairseq_file_does_nothing(convert: Run, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "touched",)

    torch.save({"model": {}, "args": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(ValueError, match=r"hostile\.pt: expected a fairseq checkpoint, got"):
        convert("fairseq-to-hub", tmp_path / "hostile.pt", tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.pt"]


def test_tied_arrays_that_differ_are_refused(tmp_path: Path, convert: Run, bart: Path) -> None:
    from safetensors.torch import save_file

    source = reconfigured(bart, tmp_path / "source")
    state = load_file(source / "model.safetensors")
    save_file(state | {"lm_head.weight": torch.zeros(40, 16)}, source / "model.safetensors")
    with pytest.raises(ValueError, match=r"^lm_head\.weight: expected the values of model\.shared\.weight \(tied\)"):
        convert("bart-to-led", source, tmp_path / "made", *TO_LED)


def test_arrays_are_read_as_they_are_stored(bart: Path) -> None:
    read = read_folder(bart, "SOURCE")
    stored: Arrays = {name: tensor.numpy() for name, tensor in load_file(bart / "model.safetensors").items()}
    assert read.dtype == "float32"
    assert read.state.keys() == stored.keys()
    assert all(np.array_equal(array, stored[name]) for name, array in read.state.items())
