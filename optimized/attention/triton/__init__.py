"""Band attention in fused Triton kernels: `impl="triton"`. Nothing here imports triton before a kernel is launched."""
