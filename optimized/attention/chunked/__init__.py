"""Sliding-chunk attention in PyTorch."""
