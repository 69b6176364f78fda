"""Names of targets: those that are shipped, and the entry points of other packages."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.triton_version import EXECUTE, require

GROUP = "trueband.targets"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Named:
    """A target that has a name.

    Attributes:
        name: for the command line.
        spec: module:attribute.
        summary: one line, what it runs.
        packages: the packages that it needs besides those of trueband.
        kind: "operator", or "models" for a factory of models.
        origin: the distribution that brings it.
        triton: what of `triton_version.TESTED` its kernels need.
    """

    name: str
    spec: str
    summary: str
    packages: tuple[str, ...] = ()
    kind: str = "operator"
    origin: str = "trueband"
    triton: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that it needs and that are not installed."""
        return tuple(package for package in self.packages if find_spec(package.replace("-", "_")) is None)

    @property
    def versions(self) -> str:
        """The versions of the packages that it needs."""
        return ", ".join(f"{package} {metadata.version(package)}" for package in self.packages)

    @property
    def expected_failures(self) -> Path | None:
        """The file of what it is known to fail."""
        path = HERE / f"{self.name}.json"
        return path if self.origin == "trueband" and path.is_file() else None


# name: (attribute of `hf_decoders`, what of transformers it runs)
ATTENTION_OF_MODELS = {
    "hf-mistral": ("mistral_target", "Mistral, eager"),
    "hf-mistral-bf16": ("mistral_bf16", "Mistral, eager, scores stored in bfloat16"),
    "hf-mistral-sdpa": ("mistral_sdpa_target", "Mistral, sdpa"),
    "hf-gemma2": ("gemma2_target", "Gemma 2 (softcap), eager"),
    "hf-gemma2-bf16": ("gemma2_bf16", "Gemma 2 (softcap), eager, scores stored in bfloat16"),
    "hf-gpt-oss": ("gpt_oss_target", "gpt-oss (sinks), eager"),
    "hf-gpt-oss-bf16": ("gpt_oss_bf16", "gpt-oss (sinks), eager, scores stored in bfloat16"),
    "hf-modernbert": ("modernbert_target", "ModernBERT (a window to both sides), eager"),
    "hf-modernbert-bf16": ("modernbert_bf16", "ModernBERT, eager, scores stored in bfloat16"),
    "hf-modernbert-sdpa": ("modernbert_sdpa_target", "ModernBERT, sdpa"),
}


SHIPPED = {
    named.name: named
    for named in (
        Named("chunked", "trueband.adapters.chunked:target", "trueband.optimized.band_attention, sliding chunks"),
        Named(
            "chunked-ranks",
            "trueband.adapters.chunked_ranks:target",
            "the same with the tokens over 1, 2 and 4 processes",
        ),
        Named(
            "triton",
            "trueband.gpu.triton:target",
            "trueband.optimized.band_attention, fused kernels (on the CPU interpreted: --cases 200 takes minutes)",
            ("triton",),
        ),
        Named(
            "triton-spans",
            "trueband.gpu.triton_spans:target",
            "the fused kernels of the second edition, for every call (on the CPU interpreted)",
            ("triton",),
        ),
        Named("sdpa", "trueband.adapters.sdpa:target", "torch's scaled_dot_product_attention, dense masks", ("torch",)),
        Named(
            "sdpa-gqa",
            "trueband.adapters.sdpa_gqa:target",
            "the same with grouped heads, windows of two sides, offsets and segments",
            ("torch",),
        ),
        Named("flex", "trueband.adapters.flex:target", "torch's flex_attention, not compiled", ("torch",)),
        Named(
            "flex-gqa",
            "trueband.adapters.flex_gqa:target",
            "the same with grouped heads, offsets, segments, softcap, slopes and lse",
            ("torch",),
        ),
        Named(
            "hf-longformer",
            "trueband.adapters.huggingface:longformer",
            "transformers' LongformerSelfAttention",
            ("transformers",),
        ),
        Named(
            "hf-led", "trueband.adapters.huggingface:led", "transformers' LEDEncoderSelfAttention", ("transformers",)
        ),
        *(
            Named(name, f"trueband.adapters.hf_decoders:{attribute}", f"transformers' {what}", ("transformers",))
            for name, (attribute, what) in ATTENTION_OF_MODELS.items()
        ),
        Named(
            "onnxruntime-gqa",
            "trueband.adapters.onnxruntime_gqa:target",
            "ONNX Runtime's GroupQueryAttention on the CPU",
            ("onnx", "onnxruntime"),
        ),
        Named(
            "jax-dot-product",
            "trueband.adapters.jax_dot_product:target",
            "jax.nn.dot_product_attention with local_window_size",
            ("jax",),
        ),
        Named(
            "jax-splash",
            "trueband.adapters.jax_splash:target",
            "JAX's splash attention in Pallas' interpreter, forward (slow: --cases 20 takes minutes)",
            ("jax",),
        ),
        Named(
            "local-attention",
            "trueband.adapters.local_attention:target",
            "lucidrains' LocalAttention, exact windows",
            ("local-attention",),
        ),
        Named(
            "ptx-sm80",
            "trueband.gpu.ptx:sm80",
            "the fused kernels compiled for sm_80, executed on the CPU",
            ("triton",),
            triton=EXECUTE[80],
        ),
        Named(
            "ptx-sm90",
            "trueband.gpu.ptx:sm90",
            "the fused kernels compiled for sm_90, executed on the CPU",
            ("triton",),
            triton=EXECUTE[90],
        ),
        Named(
            "ptx-sm80-tf32",
            "trueband.gpu.ptx:sm80_tf32",
            "the same for sm_80, float32 products cut to tf32",
            ("triton",),
            triton=EXECUTE[80],
        ),
        Named(
            "ptx-sm90-tf32",
            "trueband.gpu.ptx:sm90_tf32",
            "the same for sm_90, float32 products cut to tf32",
            ("triton",),
            triton=EXECUTE[90],
        ),
        Named(
            "hf",
            "trueband.adapters.hf_models:factory",
            "transformers' LED, Longformer and XLM-RoBERTa models",
            ("transformers",),
            kind="models",
        ),
        Named(
            "hf-patched",
            "trueband.adapters.hf_patched:factory",
            "transformers' LED and Longformer models with the attention of trueband",
            ("transformers",),
            kind="models",
        ),
    )
}


def named_targets() -> list[Named]:
    """List all targets that have a name: the shipped ones, then entry points of the group `trueband.targets`."""
    entry_points = [
        Named(point.name, point.value, "", origin=point.dist.name if point.dist else "unknown")
        for point in metadata.entry_points(group=GROUP)
    ]
    return [*SHIPPED.values(), *sorted(entry_points, key=lambda named: (named.name, named.origin))]


def resolve(target: str, kind: str = "operator") -> Named:
    """Resolve a user's word for a target: a name, or module:attribute itself.

    Raises:
        TargetError: no target or several have this name, it is of another kind, or a package is not installed.
    """
    if ":" in target:
        return Named(target, target, "", kind=kind, origin="")
    known = named_targets()
    matching = [entry for entry in known if entry.name == target]
    if not matching:
        names = ", ".join(entry.name for entry in known if entry.kind == kind)
        raise TargetError(f"target: expected module:callable, file.py:callable or one of {names}, got {target!r}")
    if len(matching) > 1:
        origins = ", ".join(entry.origin for entry in matching)
        raise TargetError(f"target: expected one target of the name {target!r}, got one of each of {origins}")
    named = matching[0]
    if named.kind != kind:
        option = "--model-target" if named.kind == "models" else "TARGET"
        raise TargetError(f"target: expected {named.name!r} to be given as {option}: it is of the kind {named.kind}")
    if named.missing:
        packages = " ".join(named.missing)
        raise TargetError(f"target: expected {packages} for {target!r}, got no such package: pip install {packages}")
    if named.triton is not None:
        require(named.triton)
    return named
