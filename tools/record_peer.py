"""Records outputs of transformers on small random weights, into golden/store-data/peer/.

Of release 4.46 what 5.x removed, of 5.x every class that it shares with this package. Run it in a virtual environment
of its own for 4.46 (it and the release that the tests use exclude each other), and in that of the tests for 5.x:

    python3.11 -m venv peer && peer/bin/pip install transformers==4.46.3 torch==2.13.0 numpy safetensors
    peer/bin/pip install --no-deps -e . && peer/bin/python tools/record_peer.py [--why TEXT]
    python tools/record_peer.py [--why TEXT]

Weights are random, on the grid of float32, and stored so; the peer computes in float64 (its banded attention takes
softmax in float32 whatever the dtype). Each golden holds `state.*`, `input.*` and `output.*`; its details say how it
was made. The same releases give the same numbers again on the same kind of machine. A golden that is there is replaced
only with a reason.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peer_golden import golden_of
from peer_model import model_of, record, run, state_of, text

from trueband.golden.store import read_golden, write_golden
from trueband.golden.store.store import FOLDER, write_index

ROBERTA = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
LED = {
    "vocab_size": 30,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_encoder_position_embeddings": 16,
    "max_decoder_position_embeddings": 16,
    "attention_window": [4, 4],
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
HEAD_MASK = [[0.0, 1.0, 0.5, 1.0], [1.0, 0.25, 1.0, 0.0]]
DECODER_HEAD_MASK, CROSS_HEAD_MASK = [[0.0, 1.0], [0.5, 1.0]], [[1.0, 0.5], [0.0, 1.0]]
PRUNED = {0: [1], 1: [0, 3]}
DECODER = {"is_decoder": True}


def led_inputs(seed: int) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    inputs = text(rng, 12, (0, 3))
    flags = torch.zeros_like(inputs["input_ids"])
    flags[:, 0] = flags[0, 7] = 1
    return inputs | {"global_attention_mask": flags}


def led_head_masks() -> dict[str, torch.Tensor]:
    inputs = led_inputs(1)
    inputs["decoder_input_ids"] = torch.tensor(np.random.default_rng(2).integers(3, 30, size=(2, 6)))
    masks = {"head_mask": HEAD_MASK, "decoder_head_mask": DECODER_HEAD_MASK, "cross_attn_head_mask": CROSS_HEAD_MASK}
    inputs |= {key: torch.tensor(value, dtype=torch.float64) for key, value in masks.items()}
    return record("LEDForConditionalGeneration", LED | {"use_cache": False}, inputs, 11)


def led_sequence_classification() -> dict[str, torch.Tensor]:
    inputs = led_inputs(3)
    inputs["input_ids"][0, 11] = inputs["input_ids"][1, 8] = 2  # one end token in each row, where the text ends
    inputs["labels"] = torch.tensor([2, 0])
    return record("LEDForSequenceClassification", LED | {"num_labels": 3, "use_cache": False}, inputs, 12)


def roberta_head_mask() -> dict[str, torch.Tensor]:
    inputs = text(np.random.default_rng(4), 9, (0, 4)) | {"head_mask": torch.tensor(HEAD_MASK, dtype=torch.float64)}
    return record("XLMRobertaModel", ROBERTA, inputs, 13)


def roberta_cross_head_mask() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(5)
    inputs = text(rng, 7, (0, 2)) | {"head_mask": torch.tensor(HEAD_MASK, dtype=torch.float64)}
    inputs["encoder_hidden_states"] = torch.tensor(rng.standard_normal((2, 5, 16)))
    inputs["encoder_attention_mask"] = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    config = ROBERTA | DECODER | {"add_cross_attention": True, "use_cache": False}
    return record("XLMRobertaForCausalLM", config, inputs, 14)


def relative_encoder(kind: str) -> dict[str, torch.Tensor]:
    config = ROBERTA | {"position_embedding_type": kind}
    return record("XLMRobertaModel", config, text(np.random.default_rng(6), 9, (0, 4)), 15)


def relative_decoder(kind: str) -> dict[str, torch.Tensor]:
    """The logits of a prompt of 4 tokens, then of 5 single tokens with a cache (`cached_logits`), and without one."""
    model = model_of("XLMRobertaForCausalLM", ROBERTA | DECODER | {"position_embedding_type": kind}, 16)
    ids = text(np.random.default_rng(7), 9, (0, 0))["input_ids"]
    with torch.no_grad():
        step = model(ids[:, :4], use_cache=True)
        logits = [step.logits]
        for i in range(4, 9):
            step = model(ids[:, i : i + 1], past_key_values=step.past_key_values, use_cache=True)
            logits.append(step.logits)
    model.config.use_cache = False
    whole = run(model, {"input_ids": ids})
    return state_of(model) | {"input.input_ids": ids} | whole | {"output.cached_logits": torch.cat(logits, dim=1)}


def pruned() -> dict[str, torch.Tensor]:
    """The state before, the state after (`pruned_state.*`), and the outputs after."""
    model = model_of("XLMRobertaModel", ROBERTA, 17)
    before = state_of(model)
    model.prune_heads(PRUNED)
    inputs = text(np.random.default_rng(8), 9, (0, 4))
    named = {f"input.{key}": value for key, value in inputs.items()}
    return before | state_of(model, "pruned_state") | named | run(model, inputs)


KINDS = ("relative_key", "relative_key_query")
# name: (what, class of the peer, configuration, further metadata, seed of the weights, recording)
CASES_4: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], int, Any]] = {
    "led_head_masks": (
        "head masks of LED's encoder, decoder and cross-attention",
        "LEDForConditionalGeneration",
        LED,
        {},
        11,
        led_head_masks,
    ),
    "led_sequence_classification": (
        "LED with a classification head on the last end token",
        "LEDForSequenceClassification",
        LED | {"num_labels": 3},
        {},
        12,
        led_sequence_classification,
    ),
    "roberta_head_mask": ("head mask of XLM-RoBERTa", "XLMRobertaModel", ROBERTA, {}, 13, roberta_head_mask),
    "roberta_cross_head_mask": (
        "head mask of a decoder with cross-attention",
        "XLMRobertaForCausalLM",
        ROBERTA | DECODER | {"add_cross_attention": True},
        {},
        14,
        roberta_cross_head_mask,
    ),
    **{
        f"roberta_{kind}": (
            f"positions of type {kind} in an encoder",
            "XLMRobertaModel",
            ROBERTA | {"position_embedding_type": kind},
            {},
            15,
            lambda kind=kind: relative_encoder(kind),
        )
        for kind in KINDS
    },
    **{
        f"roberta_decoder_{kind}": (
            f"positions of type {kind} in a decoder, with and without a cache",
            "XLMRobertaForCausalLM",
            ROBERTA | DECODER | {"position_embedding_type": kind},
            {},
            16,
            lambda kind=kind: relative_decoder(kind),
        )
        for kind in KINDS
    },
    "roberta_pruned": (
        "heads taken out of XLM-RoBERTa",
        "XLMRobertaModel",
        ROBERTA,
        {"heads": {str(layer): heads for layer, heads in PRUNED.items()}},
        17,
        pruned,
    ),
}

LONGFORMER = ROBERTA | {"attention_window": [4, 4]}  # the peer fails for windows that differ
GENERATION = {"max_length": 10, "num_beams": 3, "length_penalty": 2.0}


def led_language_model() -> dict[str, torch.Tensor]:
    """Labels and what they cost, and the ids of a beam search."""
    inputs = led_inputs(21)
    labels = np.random.default_rng(22).integers(3, 30, size=(2, 6))
    labels[1, 4:] = -100
    model = model_of("LEDForConditionalGeneration", LED | {"use_cache": False}, 31)
    given = inputs | {"labels": torch.tensor(labels)}
    named = {f"input.{key}": value for key, value in given.items()}
    with torch.no_grad():
        sequences = model.generate(**inputs, **GENERATION, do_sample=False, use_cache=True)
    return state_of(model) | named | run(model, given) | {"output.sequences": sequences}


def led_answers() -> dict[str, torch.Tensor]:
    inputs = led_inputs(23) | {"decoder_input_ids": torch.tensor(np.random.default_rng(24).integers(3, 30, (2, 7)))}
    inputs |= {"decoder_attention_mask": torch.tensor([[1] * 7, [1] * 5 + [0] * 2])}
    inputs |= {"start_positions": torch.tensor([1, 4]), "end_positions": torch.tensor([5, 4])}
    return record("LEDForQuestionAnswering", LED | {"use_cache": False}, inputs, 32)


def encoder(name: str, seed: int, **more: Any) -> dict[str, torch.Tensor]:
    """An encoder with a head: padded texts, ragged global tokens of a Longformer, labels."""
    random = np.random.default_rng(seed)
    inputs = text(random, 12, (0, 3))
    if name.startswith("Longformer"):
        flags = torch.zeros_like(inputs["input_ids"])
        flags[0, [0, 7]] = flags[1, 4] = 1
        inputs["global_attention_mask"] = flags
    if name.endswith("SequenceClassification"):
        inputs["labels"] = torch.tensor([2, 0])
    elif name.endswith("QuestionAnswering"):
        inputs |= {"start_positions": torch.tensor([1, 4]), "end_positions": torch.tensor([5, 4])}
    else:
        labels = random.integers(0, 3 if name.endswith("TokenClassification") else 30, (2, 12))
        labels[1, 9:] = -100
        inputs["labels"] = torch.tensor(labels)
    return record(name, more.pop("config"), inputs, seed)


def encoder_case(
    name: str, seed: int, what: str, **changes: Any
) -> tuple[str, str, dict[str, Any], dict[str, Any], int, Any]:
    config = (LONGFORMER if name.startswith("Longformer") else ROBERTA) | changes
    return what, name, config, {}, seed, lambda: encoder(name, seed, config=config)


HEADS = {
    "MaskedLM": ("language model", {}),
    "SequenceClassification": ("classes of texts", {"num_labels": 3}),
    "TokenClassification": ("classes of tokens", {"num_labels": 3}),
    "QuestionAnswering": ("answers", {}),
}
CASES_5: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], int, Any]] = {
    "led_language_model": (
        "LED: labels, loss, and the ids of a beam search; padding and ragged global tokens",
        "LEDForConditionalGeneration",
        LED,
        {"generation": GENERATION},
        31,
        led_language_model,
    ),
    "led_question_answering": (
        "LED with a head for answers: positions and loss; padding on both sides",
        "LEDForQuestionAnswering",
        LED,
        {},
        32,
        led_answers,
    ),
    **{
        f"{family.lower()}_{head.lower()}": encoder_case(
            f"{family}For{head}", 40 + i, f"{family} with a head for {what}: hidden states, logits and loss", **changes
        )
        for i, (family, (head, (what, changes))) in enumerate(
            (family, each) for family in ("XLMRoberta", "Longformer") for each in HEADS.items()
        )
    },
    "xlmroberta_causallm": (
        "XLM-RoBERTa as a decoder: labels that are shifted, and their loss",
        "XLMRobertaForCausalLM",
        ROBERTA | DECODER,
        {},
        50,
        lambda: encoder("XLMRobertaForCausalLM", 50, config=ROBERTA | DECODER | {"use_cache": False}),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--why", help="reason to replace the goldens that are there")
    reason = parser.parse_args().why
    release = transformers.__version__.partition(".")[0]
    cases = CASES_4 if release == "4" else CASES_5
    paths = {name: Path(FOLDER) / "peer" / f"peer_{release}_{name}.safetensors" for name in cases}
    there = [name for name, path in paths.items() if path.exists()]
    if there and reason is None:
        raise SystemExit(f"--why: expected a reason to replace {there[0]}, got none")
    versions = {"transformers": transformers.__version__, "torch": torch.__version__, "numpy": np.__version__}
    for name, (what, peer_class, config, more, seed, recording) in cases.items():
        arrays = {key: value.contiguous().numpy() for key, value in recording().items()}
        told = {"what": what, "class": peer_class, "config": config, "seed": seed, **more, **versions}
        why = [*read_golden(paths[name]).metadata.why, reason] if name in there else []
        write_golden(paths[name], golden_of(paths[name].stem, told, arrays, why))
        print(name, paths[name].stat().st_size)
    write_index(Path(FOLDER))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # the peer makes masks of the default dtype
    main()
