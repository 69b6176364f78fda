"""Goldens of texts: ids by the tokenizer of the folder, and each output against what transformers and torch give."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from trueband.golden.checkpoints import CheckpointEntry, read_table
from trueband.golden.store import Store, open_store
from trueband.hub.verify_checkpoint import verify_checkpoint

Make = Callable[..., tuple[Path, Any]]
Restate = Callable[..., Store]
Values = tuple[Any, list[str] | None]


def told_of(name: str) -> Any:
    return open_store().golden(name).metadata


def record_of(folder: Path, name: str, store: Store | None = None) -> Any:
    """The golden on a folder of whatever shape that is said to hold its checkpoint."""
    checkpoint = told_of(name).checkpoint
    table = {checkpoint: CheckpointEntry(checkpoint, read_table()[checkpoint].model_type)}
    return verify_checkpoint(folder, [name], chosen=checkpoint, table=table, store=store)[-1]


@pytest.fixture
def holds(restate: Restate, tmp_path: Path) -> Callable[[Path, str, Values], None]:
    """The golden passes with right values, and fails with the wrong ones: another number, another letter."""

    def check(folder: Path, name: str, values: Values) -> None:
        numbers, texts = values
        numbers = None if numbers is None else np.array(torch.as_tensor(numbers).tolist())
        record = record_of(folder, name, restate({name: (numbers, texts)}))
        assert record.passed, record.detail
        if numbers is not None:
            wrong = numbers.copy()
            wrong.flat[-1] += 1e-2
            assert not record_of(folder, name, restate({name: (wrong, texts)})).passed
        if texts is not None:
            assert not record_of(folder, name, restate({name: (numbers, [*texts[:-1], texts[-1] + "?"])})).passed

    return check


@pytest.fixture(scope="module")
def small(sizes: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """Configurations with the vocabulary of the tokenizer."""
    return {name: fields | {"vocab_size": tokenizer.get_vocab_size()} for name, fields in sizes.items()}


class Rows:
    """Texts of a golden, tokenized and padded as transformers does it."""

    def __init__(self, tokenizer: Tokenizer, name: str) -> None:
        recipe = told_of(name).inputs["input_ids"]
        rows = [tuple(pair) for pair in recipe["pairs"]] if "pairs" in recipe else recipe["texts"]
        every = Tokenizer.from_str(tokenizer.to_str())
        every.enable_padding(pad_id=1, pad_token="<pad>", length=recipe.get("pad_to"))
        self.found = every.encode_batch(rows, add_special_tokens=recipe.get("special", True))
        self.ids = torch.tensor([each.ids for each in self.found])
        self.mask = torch.tensor([each.attention_mask for each in self.found])

    def of(self, model: Any, **options: Any) -> Any:
        with torch.no_grad():
            return model(self.ids, attention_mask=self.mask, **options)


def test_token_ids(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    folder, _ = make("RobertaModel", with_tokenizer=True, **small["encoder"])
    for name, special in (("roberta_token_ids_fairseq", True), ("roberta_token_ids_llama_cpp", False)):
        texts = told_of(name).inputs["input_ids"]["texts"]
        rows = [tokenizer.encode(text, add_special_tokens=special).ids for text in texts]
        holds(folder, name, (None, [" ".join(map(str, row)) for row in rows]))


def test_the_best_tokens_of_masks(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    folder, model = make("RobertaForMaskedLM", with_tokenizer=True, **small["encoder"])
    name = "roberta_base_export_topk"  # one text, padded to 512
    rows = Rows(tokenizer, name)
    assert rows.ids.shape == (1, 512)
    at = rows.ids == tokenizer.token_to_id("<mask>")
    best = rows.of(model).logits[at].topk(5).indices[0].tolist()
    holds(folder, name, (None, [tokenizer.decode([each], skip_special_tokens=False).strip() for each in best]))
    name = "fairseq_roberta_large_fill_mask"  # three texts
    rows = Rows(tokenizer, name)
    shares = rows.of(model).logits[rows.ids == tokenizer.token_to_id("<mask>")].softmax(-1).topk(3)
    words = [tokenizer.decode([each], skip_special_tokens=False) for each in shares.indices.flatten().tolist()]
    holds(folder, name, (shares.values.numpy(), words))


def test_pads_are_attended_where_the_source_gives_no_mask(
    make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any
) -> None:
    folder, model = make("LongformerForMaskedLM", with_tokenizer=True, **small["longformer"])
    for name, row, place in (("rustbert_longformer_mlm_1", 0, 4), ("rustbert_longformer_mlm_2", 1, 7)):
        rows = Rows(tokenizer, name)
        flags = torch.zeros_like(rows.ids)
        flags[:, 0] = 1
        with torch.no_grad():
            logits = model(rows.ids, global_attention_mask=flags).logits[row, place]
        holds(folder, name, (logits.max().reshape(1, 1), [tokenizer.id_to_token(int(logits.argmax()))]))


def test_prediction_and_loss_of_a_mask(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    folder, model = make("RobertaForMaskedLM", with_tokenizer=True, **small["encoder"])
    name = "docstring_XLMRobertaForMaskedLM"
    rows = Rows(tokenizer, name)
    right = torch.tensor([tokenizer.encode("The capital of France is Paris.").ids])
    mask = tokenizer.token_to_id("<mask>")
    assert mask is not None
    at = rows.ids.eq(mask)
    assert rows.ids.shape == right.shape
    output = rows.of(model, labels=torch.where(at, right, -100))
    holds(folder, name, (output.loss.reshape(1), [tokenizer.decode([int(output.logits[at].argmax())])]))


def test_prediction_and_loss_of_classes(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    labels = {0: "anger", 1: "joy", 2: "optimism", 3: "sadness"}
    folder, model = make("RobertaForSequenceClassification", with_tokenizer=True, **small["encoder"], id2label=labels)
    name = "docstring_XLMRobertaForSequenceClassification"
    output = Rows(tokenizer, name).of(model, labels=torch.tensor([1]))
    holds(folder, name, (output.loss.reshape(1), [labels[int(output.logits.argmax())]]))
    folder, model = make(
        "LongformerForSequenceClassification", with_tokenizer=True, **small["longformer"], id2label=labels
    )
    name = "docstring_longformer_seqcls"
    output = Rows(tokenizer, name).of(model, labels=torch.tensor([1]))
    holds(folder, name, (output.loss.reshape(1), [labels[int(output.logits.argmax())]]))


def test_classes_of_tokens_need_the_labels(make: Make, small: dict[str, Any]) -> None:
    folder, _ = make("RobertaForTokenClassification", with_tokenizer=True, **small["encoder"], num_labels=5)
    record = record_of(folder, "docstring_XLMRobertaForTokenClassification")
    assert record.cannot_run
    assert "needs the labels LOC, O, ORG; config.json has ['LABEL_0'" in record.detail


def test_answers(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    folder, model = make("LongformerForQuestionAnswering", with_tokenizer=True, **small["longformer"])
    name = "rustbert_longformer_squad"
    rows = Rows(tokenizer, name)
    ends = rows.ids.eq(2).int().argmax(-1)
    flags = (torch.arange(rows.ids.shape[1]) < ends[:, None]).long()
    output = rows.of(model, global_attention_mask=flags)
    texts, scores = [], []
    for i, found in enumerate(rows.found):
        context = told_of(name).details["contexts"][i]
        inside = [place for place, each in enumerate(found.sequence_ids) if each == 1]
        start, end = (getattr(output, f"{side}_logits")[i, inside].softmax(-1) for side in ("start", "end"))
        spans = {
            (a, b): float(start[a] * end[b]) for a in range(len(inside)) for b in range(a, min(a + 15, len(inside)))
        }
        first, last = max(spans, key=lambda span: spans[span])
        texts.append(context[found.offsets[inside[first]][0] : found.offsets[inside[last]][1]].strip())
        scores.append(spans[first, last])
    holds(folder, name, (scores, texts))


def test_scores_of_pairs_and_classes_of_texts(
    make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any
) -> None:
    fields = small["encoder"]
    folder, model = make("XLMRobertaForSequenceClassification", with_tokenizer=True, **fields, num_labels=1)
    for name in ("candle_readme_bge_reranker_base", "st_ce_bge-reranker-base"):
        holds(folder, name, (Rows(tokenizer, name).of(model).logits[:, 0].sigmoid(), None))
    holds(folder, "flag_bge_reranker_large", (Rows(tokenizer, "flag_bge_reranker_large").of(model).logits[:, 0], None))
    folder, model = make("XLMRobertaForSequenceClassification", with_tokenizer=True, **fields)
    name = "candle_readme_formality"
    holds(folder, name, (Rows(tokenizer, name).of(model).logits.softmax(-1), None))
    folder, model = make("RobertaForSequenceClassification", with_tokenizer=True, **fields, num_labels=28)
    name = "tei_go_emotions_batch_row1"
    holds(folder, name, (Rows(tokenizer, name).of(model).logits[1], None))


def test_labels_of_a_bart(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    folder, model = make("BartForSequenceClassification", with_tokenizer=True, **small["bart"])
    logits = Rows(tokenizer, "rustbert_bart_zero_shot_each").of(model).logits
    holds(folder, "rustbert_bart_zero_shot_each", (logits[:, [0, 2]].softmax(-1)[:, 1], None))
    best = logits[:, 2].reshape(2, 4).softmax(-1).max(-1)
    topics = told_of("rustbert_bart_zero_shot_best").details["labels"]
    holds(folder, "rustbert_bart_zero_shot_best", (best.values, [topics[i] for i in best.indices]))


def test_tokens_that_a_bart_writes(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    folder, model = make("BartForConditionalGeneration", with_tokenizer=True, **small["bart"] | {"num_labels": 2})
    name = "ctranslate2_bart_base_tokens"
    with torch.no_grad():
        written = model.generate(
            Rows(tokenizer, name).ids, num_beams=2, max_length=256, forced_bos_token_id=0, forced_eos_token_id=None
        )
    tokens = [tokenizer.id_to_token(each) for each in written[0].tolist()]
    holds(folder, name, (None, [token for token in tokens if token not in ("</s>", "<pad>")]))


def test_embeddings(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    folder, model = make("XLMRobertaModel", with_tokenizer=True, **small["encoder"])

    def mean(name: str) -> torch.Tensor:
        rows = Rows(tokenizer, name)
        states = rows.of(model).last_hidden_state
        return torch.stack([each[real.bool()].mean(0) for each, real in zip(states, rows.mask, strict=True)])

    holds(folder, "fastembed_e5_large", (mean("fastembed_e5_large")[0, :5], None))
    unit = torch.nn.functional.normalize(mean("fastembed_rs_e5_base_sums"), dim=-1)
    holds(folder, "fastembed_rs_e5_base_sums", (unit.sum(-1), None))
    first = torch.nn.functional.normalize(Rows(tokenizer, "bge_m3_dense").of(model).last_hidden_state[:, 0], dim=-1)
    holds(folder, "bge_m3_dense", (first[:2] @ first[2:].T, None))


def test_prompts_of_the_folder_are_put_in_front(
    make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any
) -> None:
    folder, model = make("XLMRobertaModel", with_tokenizer=True, **small["encoder"])
    name = "st_sim_snowflake-arctic-embed-l-v2.0"
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}), "utf-8")
    texts = told_of(name).inputs["input_ids"]["texts"]
    vectors = []
    for text in (f"query: {texts[0]}", *texts[1:]):
        with torch.no_grad():
            vectors.append(model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0, 0])
    holds(folder, name, ([torch.cosine_similarity(vectors[0], each, dim=0) for each in vectors[1:]], None))


def test_heads_in_files_of_their_own(make: Make, small: dict[str, Any], tokenizer: Tokenizer, holds: Any) -> None:
    folder, model = make("XLMRobertaModel", with_tokenizer=True, **small["encoder"])
    name = "fastembed_rs_bge_m3_token_weights"
    record = record_of(folder, name)
    assert record.cannot_run
    assert "needs the head sparse_linear.pt" in record.detail
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        sparse, colbert = torch.nn.Linear(8, 1), torch.nn.Linear(8, 8)
    torch.save(sparse.state_dict(), folder / "sparse_linear.pt")
    torch.save(colbert.state_dict(), folder / "colbert_linear.pt")

    def weights(rows: Rows) -> list[dict[int, float]]:
        with torch.no_grad():
            values = sparse(rows.of(model).last_hidden_state)[..., 0].relu()
        found = []
        for row, ids in zip(values.tolist(), rows.ids.tolist(), strict=True):
            pairs = [(t, w) for t, w in zip(ids, row, strict=True) if t not in (0, 1, 2) and w > 0]
            found.append({t: max(w for other, w in pairs if other == t) for t, _ in pairs})
        return found

    per_text = [sorted((str(t), w) for t, w in row.items()) for row in weights(Rows(tokenizer, name))]
    flat = [pair for row in per_text for pair in row]
    assert flat
    holds(folder, name, ([w for _, w in flat], [t for t, _ in flat]))

    rows = Rows(tokenizer, "bge_m3_colbert")
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(colbert(rows.of(model).last_hidden_state), dim=-1)
    texts = [each[real.bool()][1:] for each, real in zip(vectors, rows.mask, strict=True)]
    late = [float((texts[i] @ texts[j].T).max(-1).values.mean()) for i in (0, 1) for j in (2, 3)]
    lexical = [sum(a[t] * b[t] for t in a.keys() & b.keys()) for a in weights(rows)[:2] for b in weights(rows)[2:]]
    holds(folder, "bge_m3_colbert", ([late, lexical], None))


def test_without_the_tokenizers_package(make: Make, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = make("RobertaForMaskedLM", with_tokenizer=True, **small["encoder"])
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    record = record_of(folder, "roberta_base_export_topk")
    assert record.cannot_run
    assert record.detail == "cannot run: needs the package tokenizers: pip install 'trueband[text]'"


def test_without_tokenizer_json_and_with_a_broken_one(make: Make, small: dict[str, Any]) -> None:
    folder, _ = make("RobertaForMaskedLM", **small["encoder"])
    record = record_of(folder, "roberta_base_export_topk")
    assert record.cannot_run
    assert record.detail == f"cannot run: needs tokenizer.json to read its text; {folder} has none"
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    record = record_of(folder, "roberta_base_export_topk")
    assert not record.cannot_run
    assert "tokenizer.json: expected a tokenizer, got" in record.detail
