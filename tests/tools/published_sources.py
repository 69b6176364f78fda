"""Who published what the second list holds."""

from __future__ import annotations

AS_FASTEMBED = {
    "publisher": "Qdrant", "repository": "qdrant/fastembed", "commit": "c48247f15df70acdf19f05dc08380fb37ee3661b",
}  # fmt: skip
AS_FASTEMBED_RS = {
    "publisher": "Anush008", "repository": "Anush008/fastembed-rs",
    "commit": "045d59182819dd9145b762685e14c25868b6b0b3",
}  # fmt: skip
AS_FLAG = {
    "publisher": "BAAI", "repository": "FlagOpen/FlagEmbedding", "commit": "7ed43d67ec03fbe5c31c0992dbfa941fb1860549",
}  # fmt: skip
AS_FAIRSEQ = {
    "publisher": "Facebook AI", "repository": "facebookresearch/fairseq",
    "commit": "3d262bb25690e4eb2e7d3c1309b1e9c406ca4b99",
}  # fmt: skip
AS_TRANSFORMERS = {"publisher": "Hugging Face", "repository": "huggingface/transformers", "commit": None}
AS_RUSTBERT = {"publisher": "Guillaume Becquin", "repository": "guillaume-be/rust-bert", "commit": "6db859e"}
STATED = "stated by the publisher's test"

PUBLISHERS = {
    "huggingface/transformers": "Hugging Face", "allenai/longformer": "Allen Institute for AI",
    "guillaume-be/rust-bert": "Guillaume Becquin", "pytorch/text": "PyTorch", "keras-team/keras-hub": "Keras",
    "elixir-nx/bumblebee": "Elixir Nx", "huggingface/text-embeddings-inference": "Hugging Face",
    "huggingface/candle": "Hugging Face", "FlagOpen/FlagEmbedding": "BAAI",
    "huggingface/sentence-transformers": "Hugging Face", "facebookresearch/fairseq": "Facebook AI",
    "A1ex-Chen/DL_project_log": "A1ex-Chen, a copy of an old test of Hugging Face",
}  # fmt: skip
LICENSES = {
    **dict.fromkeys(PUBLISHERS, "Apache-2.0"),
    "pytorch/text": "BSD-3-Clause", "huggingface/candle": "MIT OR Apache-2.0", "FlagOpen/FlagEmbedding": "MIT",
    "facebookresearch/fairseq": "MIT", "A1ex-Chen/DL_project_log": "not stated; numbers only",
    "qdrant/fastembed": "Apache-2.0", "Anush008/fastembed-rs": "Apache-2.0", "OpenNMT/CTranslate2": "MIT",
    "Unbabel/COMET": "Apache-2.0", "UKPLab/sentence-transformers": "Apache-2.0",
}  # fmt: skip
