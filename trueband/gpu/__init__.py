"""The package's own Triton kernels as targets without a GPU: interpreted, compiled, and executed by the emulator."""
