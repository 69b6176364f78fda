"""Renaming and converting checkpoints, and the symbols of the model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trueband.golden import load_fairseq_roberta, load_sapiens, to_longformer
from trueband.golden.weights.fairseq import convert_fairseq_roberta, hub_names
from trueband.golden.weights.fetch import fetch
from trueband.golden.weights.sapiens import RESIDUES, decode_best, encode
from trueband.golden.weights.wheels import SAPIENS

Arrays = dict[str, np.ndarray]


@pytest.fixture
def tiny() -> tuple[Arrays, argparse.Namespace]:
    """A made-up fairseq checkpoint: 1 layer, width 4, 6 symbols, 5 positions."""
    rng = np.random.default_rng(0)
    shapes = {"embed_tokens": (6, 4), "lm_head.weight": (6, 4), "embed_positions": (7, 4), "lm_head.bias": (6,)}
    model: Arrays = {}
    for name in hub_names(1):
        shape = next((shape for part, shape in shapes.items() if part in name), None)
        wide = (8, 4) if "fc1" in name else (4, 8) if "fc2" in name else (4, 4)
        if shape is None:
            shape = (wide[0],) if name.endswith("bias") or "layer_norm" in name else wide
        model[name] = rng.standard_normal(shape).astype(np.float32)
    model["decoder.lm_head.weight"] = model["decoder.sentence_encoder.embed_tokens.weight"]
    args = argparse.Namespace(
        activation_fn="gelu", encoder_layers=1, encoder_embed_dim=4, encoder_ffn_embed_dim=8, encoder_attention_heads=2
    )
    return model, args


def test_query_key_and_value_keep_their_places(tiny: tuple[Arrays, argparse.Namespace]) -> None:
    model, args = tiny
    state = convert_fairseq_roberta(model, args).state
    for ours, theirs in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        expected = model[f"decoder.sentence_encoder.layers.0.self_attn.{theirs}.weight"]
        assert np.array_equal(state[f"roberta.encoder.layer.0.attention.self.{ours}.weight"], expected)
    assert not state["roberta.embeddings.token_type_embeddings.weight"].any()
    assert state["roberta.embeddings.token_type_embeddings.weight"].shape == (1, 4)


def test_a_pickled_checkpoint_is_read(tiny: tuple[Arrays, argparse.Namespace], tmp_path: Path) -> None:
    model, args = tiny
    stored = {"args": args, "model": {name: torch.tensor(array) for name, array in model.items()}}
    torch.save(stored, tmp_path / "tiny.pt")
    config, state = load_fairseq_roberta(tmp_path / "tiny.pt")
    expected = convert_fairseq_roberta(model, args)
    assert config == expected.config
    assert all(np.array_equal(state[name], expected.state[name]) for name in expected.state | state)


def test_a_checkpoint_of_a_newer_fairseq_is_read(tiny: tuple[Arrays, argparse.Namespace], tmp_path: Path) -> None:
    """`cfg` in the place of `args`, and the names of its modules."""
    model, args = tiny
    newer = {
        name.replace("decoder.", "encoder.", 1).replace("emb_layer_norm", "layernorm_embedding"): torch.tensor(array)
        for name, array in model.items()
    }
    newer["encoder.sentence_encoder.version"] = torch.tensor([3.0])
    expected = convert_fairseq_roberta(model, args)
    for cfg in ({"model": args}, {"model": vars(args)}):
        torch.save({"args": None, "cfg": cfg, "model": newer}, tmp_path / "new.pt")
        config, state = load_fairseq_roberta(tmp_path / "new.pt")
        assert config == expected.config
        assert all(np.array_equal(state[name], expected.state[name]) for name in expected.state | state)
    torch.save({"args": None, "model": newer}, tmp_path / "new.pt")
    with pytest.raises(ValueError, match="args: expected the training arguments, or cfg with those of the model"):
        load_fairseq_roberta(tmp_path / "new.pt")
    newer["classification_heads.mnli.dense.weight"] = torch.zeros(4, 4)
    torch.save({"cfg": cfg, "model": newer}, tmp_path / "new.pt")
    with pytest.raises(ValueError, match=r"got the classification heads mnli; delete"):
        load_fairseq_roberta(tmp_path / "new.pt")


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    torch.save({"args": Path("anything"), "model": {}}, tmp_path / "code.pt")
    with pytest.raises(Exception, match="Unsupported global"):
        load_fairseq_roberta(tmp_path / "code.pt")


def test_unknown_and_missing_keys_are_named(tiny: tuple[Arrays, argparse.Namespace]) -> None:
    model, args = tiny
    model["decoder.extra"] = model.pop("decoder.lm_head.bias")
    with pytest.raises(ValueError, match=r"1 layers, got missing: decoder\.lm_head\.bias; unknown: decoder\.extra"):
        convert_fairseq_roberta(model, args)


def test_an_untied_head_is_refused(tiny: tuple[Arrays, argparse.Namespace]) -> None:
    model, args = tiny
    model["decoder.lm_head.weight"] = model["decoder.lm_head.weight"] + 1
    with pytest.raises(ValueError, match=r"decoder\.lm_head\.weight: expected the word embeddings \(tied\)"):
        convert_fairseq_roberta(model, args)


def test_another_activation_is_refused(tiny: tuple[Arrays, argparse.Namespace]) -> None:
    model, args = tiny
    args.activation_fn = "relu"
    with pytest.raises(ValueError, match="activation_fn: expected 'gelu', got 'relu'"):
        convert_fairseq_roberta(model, args)


@pytest.mark.parametrize("max_positions", [3, 5, 12])
def test_positions_of_the_longformer_are_tiled(tiny: tuple[Arrays, argparse.Namespace], max_positions: int) -> None:
    checkpoint = convert_fairseq_roberta(*tiny)
    converted = to_longformer(checkpoint, 4, max_positions)
    source = checkpoint.state["roberta.embeddings.position_embeddings.weight"]
    table = converted.state["longformer.embeddings.position_embeddings.weight"]
    assert len(table) == converted.config["max_position_embeddings"] == max_positions + 2
    assert np.array_equal(table[:2], source[:2])
    for position in range(max_positions):
        assert np.array_equal(table[2 + position], source[2 + position % 5])


def test_global_projections_are_copies(tiny: tuple[Arrays, argparse.Namespace]) -> None:
    checkpoint = convert_fairseq_roberta(*tiny)
    config, state = to_longformer(checkpoint, 4, 12)
    assert config["attention_window"] == 4
    name = "longformer.encoder.layer.0.attention.self"
    for part in ("query", "key", "value"):
        for kind in ("weight", "bias"):
            assert np.array_equal(state[f"{name}.{part}_global.{kind}"], state[f"{name}.{part}.{kind}"])
    added = {name for name in state if "_global" in name}
    assert len(added) == 6
    assert {name.replace("longformer.", "roberta.", 1) for name in state.keys() - added} == set(checkpoint.state)


def test_the_trained_model_has_the_published_sizes() -> None:
    expected: dict[str, Any] = {
        "vocab_size": 25,
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "intermediate_size": 256,
        "max_position_embeddings": 146,
        "layer_norm_eps": 1e-5,
    }
    assert expected.items() <= load_sapiens().config.items()


def test_the_light_chain_is_read_too() -> None:
    config, state = load_fairseq_roberta(fetch(SAPIENS)["checkpoint_vl.pt"])
    assert config["max_position_embeddings"] == 130
    assert state["lm_head.bias"].shape == (25,)


def test_symbols_follow_the_dictionary_file() -> None:
    lines = fetch(SAPIENS)["dict.txt"].read_text().splitlines()
    assert "".join(line.split()[0] for line in lines) == RESIDUES


def test_encode_and_decode() -> None:
    assert encode("AC*Y").tolist() == [[0, 4, 5, 24, 23, 2]]
    assert encode("*", star=3).tolist() == [[0, 3, 2]]
    logits = np.zeros((2, 25))
    logits[0, 4], logits[1, 23], logits[:, [2, 24]] = 1, 1, 9  # end and mask are no residues
    assert decode_best(logits) == "AY"
    with pytest.raises(ValueError, match=r"sequence: expected the letters .* and \*, got 'B'"):
        encode("ABC")
