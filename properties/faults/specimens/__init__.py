"""Correct kernels that seeded faults are patches of."""
