"""What comes with a checkpoint and goes out with it, and what may be asked for when one is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

import trueband.optimized
from trueband.optimized.checkpoints.shards import size_in_bytes
from trueband.reference.config import LongformerConfig, XLMRobertaConfig

LABELS = {"id2label": {0: "no", 1: "maybe", 2: "yes"}, "label2id": {"no": 0, "maybe": 1, "yes": 2}}
# A class of the peer, the class of this package that reads what it writes, and the kind of its sizes.
FOLDERS = {
    "RobertaForSequenceClassification": ("XLMRobertaForSequenceClassification", "XLMRoberta"),
    "CamembertForTokenClassification": ("XLMRobertaForTokenClassification", "XLMRoberta"),
    "XLMRobertaForMaskedLM": ("XLMRobertaForMaskedLM", "XLMRoberta"),
    "LongformerForSequenceClassification": ("LongformerForSequenceClassification", "Longformer"),
    "LEDForConditionalGeneration": ("LEDForConditionalGeneration", "LED"),
}


def write(name: str, folder: Path, sizes: dict[str, Any], **changes: Any) -> Any:
    """A folder of the peer."""
    transformers.utils.logging.disable_progress_bar()
    kind = getattr(transformers, name)
    peer = kind(kind.config_class(**sizes | changes)).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(std=0.3)
    peer.save_pretrained(folder)
    return peer


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rewrite(folder: Path, **changes: Any) -> None:
    values = read(folder / "config.json") | changes
    kept = {name: value for name, value in values.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept, indent=3), encoding="utf-8")


@pytest.fixture
def sizes(request: pytest.FixtureRequest, make: Any) -> Any:
    """The sizes of a family, by the first word of its classes."""
    return make.__globals__["SIZES"]


@pytest.mark.parametrize("name", FOLDERS)
def test_what_has_not_changed_goes_out_byte_for_byte(name: str, sizes: Any, tmp_path: Path) -> None:
    ours, kind = FOLDERS[name]
    write(name, tmp_path / "in", sizes[kind], **LABELS)
    rewrite(tmp_path / "in", a_field={"of": ["ours", None]}, task_specific_params={"summarization": {"num_beams": 4}})
    if kind == "LED":
        text = json.dumps({"num_beams": 4, "_from_model_config": True, "suppress_tokens": [3]}, indent=1)
        (tmp_path / "in" / "generation_config.json").write_text(text)
    model = getattr(trueband.optimized, ours).from_pretrained(tmp_path / "in")
    assert model.config.id2label == LABELS["id2label"]
    assert model.config.label2id == LABELS["label2id"]
    assert model.config.a_field == {"of": ["ours", None]}
    model.save_pretrained(tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "in").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "out").iterdir())
    for each in names:
        assert (tmp_path / "out" / each).read_bytes() == (tmp_path / "in" / each).read_bytes(), each


def test_only_what_has_changed_is_written_anew(sizes: Any, tmp_path: Path) -> None:
    write("RobertaForSequenceClassification", tmp_path / "in", sizes["XLMRoberta"], **LABELS)
    rewrite(tmp_path / "in", a_field=7)
    before = read(tmp_path / "in" / "config.json")
    kind = trueband.optimized.XLMRobertaForSequenceClassification
    model = kind.from_pretrained(tmp_path / "in", dtype="float64")
    model.config.hidden_dropout_prob = 0.25
    model.config.note = "tuned"
    model.config.id2label = {0: "a", 1: "b", 2: "c"}
    model.save_pretrained(tmp_path / "out")
    expected = before | {
        "hidden_dropout_prob": 0.25,
        "note": "tuned",
        "id2label": {"0": "a", "1": "b", "2": "c"},
        "label2id": {"a": 0, "b": 1, "c": 2},
        "dtype": "float64",
    }
    assert read(tmp_path / "out" / "config.json") == expected
    base = trueband.optimized.XLMRobertaModel.from_pretrained(tmp_path / "in")
    base.save_pretrained(tmp_path / "base")
    assert read(tmp_path / "base" / "config.json") == before | {"architectures": ["RobertaModel"]}


def test_a_model_type_that_is_not_said(sizes: Any, tmp_path: Path, ids: Tensor) -> None:
    peer = write("LongformerForSequenceClassification", tmp_path, sizes["Longformer"])
    rewrite(tmp_path, model_type=...)
    model = trueband.optimized.LongformerForSequenceClassification.from_pretrained(tmp_path)
    assert model(ids).logits.argmax(dim=1).tolist() == peer(ids).logits.argmax(dim=1).tolist()
    assert model.config.model_type == "longformer"


@pytest.mark.parametrize("most", [4000, "4KB", "3.9 KiB"])
def test_shards(most: int | str, sizes: Any, tmp_path: Path, ids: Tensor) -> None:
    """No file is larger than asked for, nothing is left of what was there, and both packages read them."""
    peer = write("LongformerForSequenceClassification", tmp_path / "in", sizes["Longformer"])
    kind = trueband.optimized.LongformerForSequenceClassification
    model = kind.from_pretrained(tmp_path / "in")
    model.save_pretrained(tmp_path / "out")
    model.save_pretrained(tmp_path / "out", max_shard_size=most)
    files = sorted((tmp_path / "out").glob("model-*.safetensors"))
    assert len(files) > 3
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert files[-1].name == f"model-{len(files):05d}-of-{len(files):05d}.safetensors"
    for path in files:
        assert sum(each.numel() * 4 for each in load_file(path).values()) <= 4000
    index = read(tmp_path / "out" / "model.safetensors.index.json")
    whole = load_file(tmp_path / "in" / "model.safetensors")
    assert index["metadata"]["total_size"] == sum(each.numel() * 4 for each in whole.values())
    again = kind.from_pretrained(tmp_path / "out")
    assert torch.equal(again(ids).logits, model(ids).logits)
    theirs = type(peer).from_pretrained(tmp_path / "out").eval()
    assert torch.equal(theirs(ids).logits, peer(ids).logits)
    again.save_pretrained(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]


def test_sizes_of_shards() -> None:
    assert size_in_bytes("5GB") == 5 * 10**9
    assert size_in_bytes("2MiB") == 2 * 2**20
    assert size_in_bytes("7b") == size_in_bytes(7) == 7
    for wrong in ("many", 0, "0GB", 1.5, True):
        with pytest.raises(ValueError, match="max_shard_size: expected a number of bytes or a text"):
            size_in_bytes(wrong)  # type: ignore[arg-type]


def test_how_a_model_is_saved(make: Any, tmp_path: Path, ids: Tensor) -> None:
    model = make("XLMRobertaForSequenceClassification")
    model.save_pretrained(tmp_path / "other process", is_main_process=False)
    assert not (tmp_path / "other process").exists()
    with pytest.raises(ValueError, match="safe_serialization: expected True"):
        model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ValueError, match="push_to_hub: expected False"):
        model.save_pretrained(tmp_path, push_to_hub=True)
    state = {name: tensor * 0 for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=state)
    assert not any(tensor.any() for tensor in load_file(tmp_path / "model.safetensors").values())


@pytest.mark.parametrize("name", ["XLMRobertaForMaskedLM", "LEDForConditionalGeneration"])
def test_untied_words(name: str, sizes: Any, tmp_path: Path, ids: Tensor) -> None:
    peer = write(name, tmp_path / "in", sizes[FOLDERS[name][1]], tie_word_embeddings=False)
    model = getattr(trueband.optimized, name).from_pretrained(tmp_path / "in")
    assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    model.save_pretrained(tmp_path / "out")
    again, told = type(peer).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not told["missing_keys"]
    assert torch.equal(again.eval()(ids).logits, peer(ids).logits)
    assert model(ids).logits.argmax(dim=-1).tolist() == peer(ids).logits.argmax(dim=-1).tolist()


def test_untied_words_of_an_older_peer(make: Any, tmp_path: Path, ids: Tensor) -> None:
    """It keeps one table for both stacks of LED, and writes it once."""
    model = make("LEDForConditionalGeneration", tie_word_embeddings=False)
    model.led.encoder.embed_tokens.weight = model.led.decoder.embed_tokens.weight = model.led.shared.weight
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert not [each for each in stored if "embed_tokens" in each]
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_dtypes_by_name(make: Any, tmp_path: Path) -> None:
    kind = trueband.optimized.XLMRobertaModel
    make("XLMRobertaModel").float().save_pretrained(tmp_path)
    for dtype in ("bfloat16", "torch.bfloat16", torch.bfloat16):
        assert kind.from_pretrained(tmp_path, dtype=dtype).dtype == torch.bfloat16
        assert kind.from_pretrained(tmp_path, torch_dtype=dtype).dtype == torch.bfloat16
    rewrite(tmp_path, dtype="float16")
    assert kind.from_pretrained(tmp_path).dtype == torch.float32
    assert kind.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16
    rewrite(tmp_path, dtype=...)
    assert kind.from_pretrained(tmp_path, dtype="auto").dtype == torch.float32
    with pytest.raises(ValueError, match=r"dtype: expected one of .* got int8"):
        kind.from_pretrained(tmp_path, dtype="int8")
    path = tmp_path / "model.safetensors"
    mixed = load_file(path)
    mixed["embeddings.LayerNorm.weight"] = mixed["embeddings.LayerNorm.weight"].double()
    save_file(mixed, path)
    rewrite(tmp_path, dtype="float16")
    assert kind.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16


def test_fields_of_the_configuration_are_options(make: Any, tmp_path: Path, ids: Tensor) -> None:
    make("LongformerForMaskedLM").save_pretrained(tmp_path)
    kind: Any = trueband.optimized.LongformerForSequenceClassification
    model = kind.from_pretrained(
        tmp_path, num_labels=3, **LABELS, attention_window=[2, 6], hidden_dropout_prob=0.3, output_hidden_states=True
    )
    assert model.classifier.out_proj.out_features == model.config.num_labels == 3
    assert model.config.label2id["yes"] == 2
    assert model.longformer.encoder.layer[1].attention.self.window == 3
    assert model.longformer.embeddings.dropout.p == model.dropout.p == 0.3
    assert len(model(ids).hidden_states) == 3
    with pytest.raises(ValueError, match="id2label: expected as many names as num_labels"):
        kind.from_pretrained(tmp_path, num_labels=2, id2label=LABELS["id2label"])
    with pytest.raises(TypeError, match="num_label: expected an option of from_pretrained or a field of"):
        kind.from_pretrained(tmp_path, num_label=3)
    with pytest.raises(ValueError, match="attention_window: expected even"):
        kind.from_pretrained(tmp_path, num_labels=3, attention_window=5)
    config = LongformerConfig.from_dict(model.config.to_dict())
    model.save_pretrained(tmp_path)
    config.hidden_dropout_prob = 0.5
    assert kind.from_pretrained(tmp_path, config=config).dropout.p == 0.5


def test_a_head_of_another_size(make: Any, tmp_path: Path, ids: Tensor) -> None:
    model = make("XLMRobertaForSequenceClassification")
    model.save_pretrained(tmp_path)
    kind = type(model)
    with pytest.raises(ValueError, match=r"of shape \(5, 16\), got \(2, 16\); with ignore_mismatched_sizes=True"):
        kind.from_pretrained(tmp_path, num_labels=5)
    other = kind.from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True)
    assert other(ids).logits.shape == (2, 5)
    assert torch.equal(other.classifier.dense.weight, model.classifier.dense.weight)
    assert torch.equal(other.roberta(ids)[0], model.roberta(ids)[0])


def test_options_that_change_nothing(make: Any, tmp_path: Path, ids: Tensor) -> None:
    model = make("XLMRobertaModel")
    model.save_pretrained(tmp_path)
    options = {"cache_dir": "x", "local_files_only": True, "low_cpu_mem_usage": True, "attn_implementation": "eager"}
    again = type(model).from_pretrained(tmp_path, **options, device_map="cpu")
    assert torch.equal(again(ids)[0], model(ids)[0])
    bare = type(model).from_pretrained(tmp_path, add_pooling_layer=False)
    assert bare(ids).pooler_output is None
    with pytest.raises(ValueError, match="device_map: expected one device"):
        type(model).from_pretrained(tmp_path, device_map={"encoder": 0, "pooler": 1})


HEADS = ["MaskedLM", "CausalLM", "SequenceClassification", "TokenClassification", "MultipleChoice", "QuestionAnswering"]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("of", ["the whole", "the model inside"])
def test_a_pruned_model_is_saved_and_read(head: str, of: str, make: Any, tmp_path: Path, ids: Tensor) -> None:
    model = make(f"XLMRobertaFor{head}")
    given = ids[None] if head == "MultipleChoice" else ids
    mask = torch.ones(2, 4, dtype=torch.float64)
    mask[0, 1] = mask[1, 0] = mask[1, 3] = 0
    masked = model(given, head_mask=mask)[0]
    (model if of == "the whole" else model.roberta).prune_heads({0: [1], 1: [0, 3]})
    pruned = model(given)[0]
    assert (pruned - masked).abs().max() <= torch.finfo(torch.float32).eps * masked.abs().max()
    model.save_pretrained(tmp_path)
    assert read(tmp_path / "config.json")["pruned_heads"] == {"0": [1], "1": [0, 3]}
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again(given)[0], pruned)
    again.prune_heads({0: [2]})
    again.save_pretrained(tmp_path)
    assert type(model).from_pretrained(tmp_path).config.pruned_heads == {0: (1, 2), 1: (0, 3)}


def test_a_configuration_of_the_peer_is_not_taken_for_ours() -> None:
    theirs = transformers.XLMRobertaConfig(num_hidden_layers=1)
    with pytest.raises(TypeError, match=r"config: expected a trueband.*, got a transformers\..*from_dict"):
        trueband.optimized.XLMRobertaModel(theirs)  # type: ignore[arg-type]
    assert XLMRobertaConfig.from_dict(theirs.to_dict()).num_hidden_layers == 1
    with pytest.raises(TypeError, match=r"config: expected .*LongformerConfig, got a trueband.*XLMRobertaConfig"):
        trueband.optimized.LongformerModel(XLMRobertaConfig())  # type: ignore[arg-type]
