"""Outputs of retrieval models: embeddings of texts, similarities, weights of tokens, late interaction.

Shapes: b texts, n tokens, D hidden size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trueband.golden.checkpoints.outputs import Printed, Run, output

Float = NDArray[np.float64]
SPARSE, COLBERT = "sparse_linear.pt", "colbert_linear.pt"


def embeddings(run: Run) -> Float:
    """(b, D). details: pooling, "cls" or "mean" (of the real tokens); normalize, whether to length 1."""
    states = run.field("last_hidden_state").astype(np.float64)
    if run.details["pooling"] == "cls":
        pooled = states[:, 0]
    elif run.details["pooling"] == "mean":
        real = run.encoded.real[..., None]
        pooled = (states * real).sum(axis=1) / real.sum(axis=1)
    else:
        raise ValueError(f"pooling: expected 'cls' or 'mean', got {run.details['pooling']!r}")
    return unit(pooled) if run.details["normalize"] else pooled


def unit(vectors: Float) -> Float:
    """Scale to length 1 along the last axis."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


@output("embedding")
def embedding(run: Run) -> Printed:
    return Printed(embeddings(run))


@output("embedding.sum(-1)")
def embedding_sums(run: Run) -> Printed:
    return Printed(embeddings(run).sum(axis=-1))


@output("similarity")
def similarity(run: Run) -> Printed:
    """Cosines of the first texts (details.queries of them) with the others: (queries, others)."""
    vectors, queries = unit(embeddings(run)), run.details["queries"]
    return Printed(vectors[:queries] @ vectors[queries:].T)


def token_weights(run: Run) -> list[dict[int, float]]:
    """For each text: token -> its weight relu(w x + b), the largest where it stands several times; no specials."""
    weight, bias = run.directory.linear(SPARSE)
    values = np.maximum(run.field("last_hidden_state").astype(np.float64) @ weight.T + bias, 0)[..., 0]
    batch = run.encoded.texts()
    rows: list[dict[int, float]] = []
    for row, segments in enumerate(batch.segments):
        weights: dict[int, float] = {}
        for place, segment in enumerate(segments):
            token = int(batch.ids[row, place])
            if segment is not None and values[row, place] > 0:
                weights[token] = max(weights.get(token, 0.0), float(values[row, place]))
        rows.append(weights)
    return rows


@output("token_weights")
def printed_weights(run: Run) -> Printed:
    """Tokens and weights of all texts, text by text, in the order of what the tokens are written as."""
    form = run.details["tokens"]
    rows = [
        sorted((run.directory.texts.named(token, form), weight) for token, weight in weights.items())
        for weights in token_weights(run)
    ]
    flat = [pair for row in rows for pair in row]
    return Printed(np.array([weight for _, weight in flat]), [token for token, _ in flat])


def lexical_scores(run: Run) -> Float:
    """For details.pairs of texts: the sum of the products of the weights of the tokens that both have."""
    weights = token_weights(run)
    pairs = run.details["pairs"]
    return np.array(
        [sum(weights[a][t] * weights[b][t] for t in weights[a].keys() & weights[b].keys()) for a, b in pairs]
    )


def colbert_scores(run: Run) -> Float:
    """For details.pairs of texts: the mean over the first's tokens of their best cosine with one of the second's.

    The first token, <s>, is left out; the end counts.
    """
    weight, bias = run.directory.linear(COLBERT)
    vectors = unit(run.field("last_hidden_state").astype(np.float64)[:, 1:] @ weight.T + bias)
    texts = [vectors[row][real[1:]] for row, real in enumerate(run.encoded.real)]
    return np.array([(texts[a] @ texts[b].T).max(axis=-1).mean() for a, b in run.details["pairs"]])


def dense_scores(run: Run) -> Float:
    """Cosines of details.pairs of texts."""
    vectors = unit(embeddings(run))
    return np.array([vectors[a] @ vectors[b] for a, b in run.details["pairs"]])


SCORES = {"colbert": colbert_scores, "sparse": lexical_scores, "dense": dense_scores}


@output("scores")
def scores(run: Run) -> Printed:
    """(mixtures, pairs): each row of details.mixtures is a weighted mean {score: weight} of the three scores."""
    rows = []
    for mixture in run.details["mixtures"]:
        parts = [share * SCORES[name](run) for name, share in mixture.items()]
        rows.append(np.sum(parts, axis=0) / sum(mixture.values()))
    return Printed(np.array(rows))
