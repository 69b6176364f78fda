"""Checks of GPU kernels that need no GPU."""
