"""Correct kernels, which seeded faults patch."""
