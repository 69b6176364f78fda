"""Wrong inputs of the models: named, with what was expected and what was given, before any layer runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trueband.optimized import LongformerForMaskedLM, LongformerModel, XLMRobertaForMaskedLM
from trueband.reference import LongformerConfig, XLMRobertaConfig

IDS = torch.full((2, 5), 7)
ONES = torch.ones(2, 5)

WRONG: list[tuple[str, type[Exception], dict[str, Any], str]] = [
    ("mask (b, 1)", ValueError, {"attention_mask": ONES[:, :1]}, r"attention_mask: expected .*\(2, 5\), got \(2, 1\)"),
    ("mask (1, n)", ValueError, {"attention_mask": ONES[:1]}, r"attention_mask: expected .*\(2, 5\), got \(1, 5\)"),
    ("mask 4-D", ValueError, {"attention_mask": ONES[:, None, None]}, r"attention_mask: .*got \(2, 1, 1, 5\)"),
    ("mask 3", ValueError, {"attention_mask": 3 * ONES}, "attention_mask: expected 0 and 1 only, got 3.0"),
    ("mask -1", ValueError, {"attention_mask": -ONES.long()}, "attention_mask: expected 0 and 1 only, got -1"),
    ("mask NaN", ValueError, {"attention_mask": ONES * torch.nan}, "attention_mask: expected 0 and 1 only, got nan"),
    ("mask list", TypeError, {"attention_mask": [1]}, "attention_mask: expected a torch tensor, got list"),
    ("head_mask", ValueError, {"head_mask": torch.ones(4)}, r"head_mask: expected .*\(2, 4\), got \(4,\)"),
    ("int head_mask", TypeError, {"head_mask": torch.ones(2, 4).int()}, "head_mask: expected a floating dtype"),
    ("float ids", TypeError, {"input_ids": ONES}, "input_ids: expected dtype int64 or int32, got torch.float32"),
    ("ids 1-D", ValueError, {"input_ids": IDS[0]}, r"input_ids: expected shape .*, got \(5,\)"),
    ("no ids", ValueError, {"input_ids": None}, "input_ids: expected exactly one of .*, got neither"),
    ("ids twice", ValueError, {"inputs_embeds": torch.zeros(2, 5, 16)}, "input_ids: expected exactly .*, got both"),
    ("id 40", ValueError, {"input_ids": IDS + 33}, "input_ids: expected ids from 0 to 39, got 40"),
    ("id -1", ValueError, {"input_ids": IDS - 8}, "input_ids: expected ids from 0 to 39, got -1"),
    ("token type", ValueError, {"token_type_ids": IDS}, "token_type_ids: expected ids from 0 to 1, got 7"),
    ("types (b, 1)", ValueError, {"token_type_ids": IDS[:, :1]}, r"token_type_ids: .*\(2, 5\), got \(2, 1\)"),
    ("position", ValueError, {"position_ids": IDS + 53}, "position_ids: expected ids from 0 to 59, got 60"),
    ("labels", ValueError, {"labels": IDS[:, 1:]}, r"labels: expected .*\(2, 5\), got \(2, 4\)"),
    ("float labels", TypeError, {"labels": ONES}, "labels: expected dtype int64 or int32, got torch.float32"),
    ("label 40", ValueError, {"labels": IDS + 33}, "labels: expected ids from 0 to 39, got 40"),
    ("label -1", ValueError, {"labels": IDS - 8}, "labels: expected ids from 0 to 39, got -1"),
    (
        "embeddings",
        ValueError,
        {"input_ids": None, "inputs_embeds": torch.zeros(2, 5, 8)},
        r"inputs_embeds: expected shape \(batch, tokens, 16\), got \(2, 5, 8\)",
    ),
    (
        "dtype of the embeddings",
        TypeError,
        {"input_ids": None, "inputs_embeds": torch.zeros(2, 5, 16).double()},
        "inputs_embeds: expected the dtype of the model, torch.float32, got torch.float64",
    ),
    (
        "too many embeddings",
        ValueError,
        {"input_ids": None, "inputs_embeds": torch.zeros(2, 59, 16)},
        "inputs_embeds: expected at most 58 tokens, got 59",
    ),
]


@pytest.mark.parametrize("name", ["roberta", "longformer"])
@pytest.mark.parametrize(
    ("error", "changed", "message"), [row[1:] for row in WRONG], ids=[row[0].replace(" ", "-") for row in WRONG]
)
def test_wrong_input(
    small: dict[str, Any], name: str, error: type[Exception], changed: dict[str, Any], message: str
) -> None:
    model: Any = (
        XLMRobertaForMaskedLM(XLMRobertaConfig(**small))
        if name == "roberta"
        else LongformerForMaskedLM(LongformerConfig(**small))
    )
    ran = []
    model.get_submodule(name).encoder.layer[0].register_forward_pre_hook(lambda *args: ran.append(args))
    with pytest.raises(error, match=message):
        model(**{"input_ids": IDS, **changed})
    assert not ran


def test_wrong_global_mask(small: dict[str, Any]) -> None:
    model = LongformerModel(LongformerConfig(**small))
    with pytest.raises(ValueError, match="global_attention_mask: expected 0 and 1 only, got 2"):
        model(IDS, global_attention_mask=2 * torch.ones_like(IDS))
    with pytest.raises(ValueError, match=r"global_attention_mask: expected .*\(2, 5\), got \(1, 5\)"):
        model(IDS, global_attention_mask=torch.ones(1, 5))


def test_513_tokens(small: dict[str, Any]) -> None:
    """The published XLM-RoBERTa has 514 positions, of which 512 can be used; pads use none."""
    model = XLMRobertaForMaskedLM(XLMRobertaConfig(**{**small, "max_position_embeddings": 514}))
    with pytest.raises(ValueError, match="input_ids: expected at most 512 tokens, got 513"):
        model(torch.full((2, 513), 7))
    ids = torch.full((2, 513), 7)
    ids[:, 100] = 1
    assert model(ids, ids != 1).logits.isfinite().all()


@pytest.mark.parametrize("kind", [XLMRobertaForMaskedLM, LongformerForMaskedLM])
def test_what_a_configuration_asks_for_is_not_left_out_in_silence(small: dict[str, Any], kind: Any) -> None:
    config = XLMRobertaConfig if kind is XLMRobertaForMaskedLM else LongformerConfig
    with pytest.raises(ValueError, match=r"hidden_act: expected one of 'gelu', .*, got 'mish'"):
        kind(config(**small, hidden_act="mish"))
